"""Sessions of the `databases` library, on one pool that serves a read in one round trip and a write in three.

The library's Connection compiles queries and reads records; its pool and its transactions are not used: they keep a
connection for ever when BEGIN, COMMIT or ROLLBACK fails or is cancelled (encode/databases#498), hide the first error,
and bind connections to tasks, so that a child task silently leaves its parent's transaction (encode/databases#456).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from app.database import driver
from app.database.connector import Connector
from app.database.isolation import IsolationLevel
from app.database.pool import Pool
from app.database.raw import RawBackend
from app.database.session import Session
from app.database.translation import errors_of

if TYPE_CHECKING:
    from app.settings import DatabaseSettings

__all__ = ["NAME", "Backend", "Session"]

NAME = "databases"


class Backend:
    """The pool and its two kinds of session."""

    def __init__(self, settings: "DatabaseSettings", connector: Connector) -> None:
        self._pool = Pool(settings, connector)
        self._queries = RawBackend(f"{driver.SCHEMES[0]}://")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        async with self._session(writing=False) as (session, _):
            yield session

    @asynccontextmanager
    async def writing(self, isolation_level: IsolationLevel) -> AsyncIterator[Session]:
        async with self._session(writing=True) as (session, raw):
            with errors_of(raw, writing=True):
                await driver.begin(raw, isolation_level)
            try:
                yield session
                with errors_of(raw, writing=True):
                    await driver.commit(raw)
            except Exception:
                if raw.unit is not None:
                    with suppress(Exception):  # the first error is the one that is seen
                        await driver.rollback(raw)
                raise

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def _session(self, *, writing: bool) -> AsyncIterator[tuple[Session, driver.RawConnection]]:
        pooled = await self._pool.acquire()
        session = Session(self._queries, pooled.raw, writing=writing)
        try:
            yield session, pooled.raw
        except Exception:
            session.close()
            await self._pool.release(pooled)
            raise
        except BaseException:  # cancelled: a statement may still be under way
            session.close()
            self._pool.discard(pooled)
            raise
        session.close()
        await self._pool.release(pooled)
