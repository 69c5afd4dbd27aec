"""The driver's connection below a session, for what the library cannot say."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Select

from app.database import driver
from app.database.backend import Session
from app.database.errors import ReadOnlySession, SessionClosed


@asynccontextmanager
async def raw_connection(session: Session) -> AsyncIterator[driver.RawConnection]:
    """In the session's transaction, for one at a time. Raises ReadOnlySession, SessionClosed."""
    if not session._open:
        raise SessionClosed
    if not session._writing:
        raise ReadOnlySession
    async with session._query_lock:
        yield session.raw_connection


async def fetch(session: Session, query: Select[Any]) -> Sequence[Any]:
    return await session.fetch_all(query)
