"""What a route asks for. With `scope="function"` the transaction ends before the response leaves: a 2xx is committed,
and a failed COMMIT is an error to the client (the default scope answers first: fastapi/fastapi#3620, #11143).
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from app.database.backend import Session
from app.database.database import Database

SCOPE_KEY = "app.database"  # where the outermost application leaves its Database for those that are mounted in it


async def current_database(connection: HTTPConnection) -> Database:
    """The Database that the lifespan opened, for requests and WebSockets."""
    database: Database = connection.scope.get(SCOPE_KEY) or connection.app.state.database
    return database


async def _read_session(connection: HTTPConnection) -> AsyncIterator[Session]:
    database = await current_database(connection)
    # A WebSocket may live for hours: its session keeps no connection between statements.
    async with database.of_request(writing=False, brief=connection.scope["type"] == "websocket") as session:
        yield session


async def _write_session(connection: HTTPConnection) -> AsyncIterator[Session]:
    database = await current_database(connection)
    async with database.of_request(writing=True) as session:
        yield session


CurrentDatabase = Annotated[Database, Depends(current_database)]
ReadSession = Annotated[Session, Depends(_read_session, scope="function")]
WriteSession = Annotated[Session, Depends(_write_session, scope="function")]
