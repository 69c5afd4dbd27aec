"""The driver's connection below a session, for what SQLAlchemy is too slow to say."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Select
from sqlalchemy.exc import InvalidRequestError

from app.database import driver
from app.database.backend import Session
from app.database.errors import ReadOnlySession, SessionClosed


@asynccontextmanager
async def raw_connection(session: Session) -> AsyncIterator[driver.RawConnection]:
    """In the session's transaction, after what was added to the session before. Raises ReadOnlySession, SessionClosed.

    Entities that are in the session already are not refreshed.
    """
    try:
        await session.flush()
        connection = await session.connection()
    except InvalidRequestError as error:
        if "closed" in str(error):
            raise SessionClosed from error
        raise
    if not connection.sync_engine.get_execution_options()["writing"]:
        raise ReadOnlySession
    yield (await connection.get_raw_connection()).driver_connection


async def fetch(session: Session, query: Select[Any]) -> Sequence[Any]:
    rows: Sequence[Any] = (await session.execute(query)).all()
    return rows
