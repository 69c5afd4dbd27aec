"""Sessions of SQLAlchemy's ORM: one for reading, or one for a transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, get_args

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Session as SyncSession

from app.database.connector import Connector
from app.database.engine import create_engine, for_reading, for_writing
from app.database.errors import ReadOnlySession
from app.database.isolation import IsolationLevel
from app.database.metadata import metadata

if TYPE_CHECKING:
    from app.settings import DatabaseSettings

NAME = "orm"
Session = AsyncSession


class Base(DeclarativeBase):
    """The base of the mapped classes. What the server makes is fetched at the flush, where a later look would fail."""

    metadata = metadata
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  # typed by its base, as what it is not: an instance's


class Backend:
    """The pool and its two kinds of session."""

    def __init__(self, settings: "DatabaseSettings", connector: Connector) -> None:
        self._engine = create_engine(settings, connector)
        self._reader = for_reading(self._engine)
        self._writers = {level: for_writing(self._engine, level) for level in get_args(IsolationLevel)}

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        async with _session(self._reader) as session:
            yield session
            if session.new or session.dirty or session.deleted:  # they would be dropped without a word
                raise ReadOnlySession

    @asynccontextmanager
    async def writing(self, isolation_level: IsolationLevel) -> AsyncIterator[Session]:
        session = _session(self._writers[isolation_level])
        try:
            yield session
            await session.run_sync(_commit_and_close)
        except Exception:
            # session.begin() would raise the ROLLBACK's own error instead of the first one.
            with suppress(Exception):
                await session.rollback()
            with suppress(Exception):
                await session.close()
            raise
        except BaseException:  # cancelled: no time is left to talk to a server that may be gone
            await session.invalidate()
            raise

    async def close(self) -> None:
        await self._engine.dispose()


def _session(engine: AsyncEngine) -> AsyncSession:
    # close_resets_only: a session that is used after its end would otherwise begin anew and never give back.
    return AsyncSession(engine, expire_on_commit=False, close_resets_only=False)


def _commit_and_close(session: SyncSession) -> None:  # in one greenlet, without a task: 3 to 8 % of a write
    session.commit()
    session.close()
