"""What a route asks for: a session that ends with the route, before the response leaves. So a 2xx is committed, and a
failed COMMIT is an error to the client (a dependency with `yield` answers first by default: fastapi/fastapi#11143).
`app.dependency_overrides[read_session]` replaces the one of a test, `write_session` the other, and `current_database` a
CurrentDatabase alone.
"""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
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


async def read_session(connection: HTTPConnection) -> Session:
    database = await current_database(connection)
    # A WebSocket may live for hours: its session keeps no connection between statements.
    return await _entered(connection, database.of_request(brief=connection.scope["type"] == "websocket"))


async def write_session(connection: HTTPConnection) -> Session:
    database = await current_database(connection)
    return await _entered(connection, database.of_request(writing=True))


async def _entered(connection: HTTPConnection, unit: AbstractAsyncContextManager[Session]) -> Session:
    """Until the function's end, on the stack where FastAPI keeps dependencies with `yield` and `scope="function"`.

    Such a dependency costs a fifth of a read by key: generators, a context manager around each, a cancel scope.
    """
    stack: AsyncExitStack = connection.scope["fastapi_function_astack"]
    return await stack.enter_async_context(unit)


CurrentDatabase = Annotated[Database, Depends(current_database)]
ReadSession = Annotated[Session, Depends(read_session)]
WriteSession = Annotated[Session, Depends(write_session)]
