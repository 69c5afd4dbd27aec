"""What a route asks for. With `scope="function"` the transaction ends before the response leaves: a 2xx is committed,
and a failed COMMIT is an error to the client (the default scope answers first: fastapi/fastapi#3620, #11143).
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from app.database.backend import Session
from app.database.database import Database


async def current_database(connection: HTTPConnection) -> Database:
    """The Database that the lifespan opened, for requests and WebSockets."""
    database: Database = connection.app.state.database
    return database


CurrentDatabase = Annotated[Database, Depends(current_database)]


async def _read_session(database: CurrentDatabase) -> AsyncIterator[Session]:
    async with database.read() as session:
        yield session


async def _write_session(database: CurrentDatabase) -> AsyncIterator[Session]:
    async with database.transaction() as session:
        yield session


ReadSession = Annotated[Session, Depends(_read_session, scope="function")]
WriteSession = Annotated[Session, Depends(_write_session, scope="function")]
