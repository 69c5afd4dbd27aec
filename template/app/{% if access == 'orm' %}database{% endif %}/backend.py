"""Sessions of SQLAlchemy's ORM on a unit of work, one operation at a time, with our errors."""

import asyncio
from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from typing import Any, cast

from sqlalchemy import Connection, CursorResult
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Session as SyncSession

from app.database import driver
from app.database.engine import Engine, Query, Values
from app.database.errors import ReadOnlySession, StatementRefused, StatementUnderWay
from app.database.fetching import Fetching
from app.database.metadata import metadata
from app.database.translation import translated
from app.database.unit import Unit

NAME = "orm"


class Base(DeclarativeBase):
    """The base of the mapped classes. What the server makes is fetched at the flush, where a later look would fail."""

    metadata = metadata
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  # typed by its base, as what it is not: an instance's


class Session(Fetching, AsyncSession):
    """SQLAlchemy's AsyncSession, and `fetch_all`, `fetch_one`, `fetch_val` and `affected` beside it."""

    def __init__(self, engine: Engine, unit: Unit) -> None:  # not SQLAlchemy's yet: see sync_session
        self._engine, self._unit = engine, unit
        self._operation = asyncio.Lock()
        self._in_operation: object = None

    @cached_property
    def sync_session(self) -> SyncSession:  # type: ignore[override]
        """Made when it is asked for: it is a tenth of a read by key, and `fetch_*` of a read session need none."""
        # close_resets_only: a session that is used after its end would otherwise begin anew and never give back.
        super().__init__(expire_on_commit=False, close_resets_only=False)
        session: SyncSession = self.__dict__["sync_session"]
        session.bind = self._engine.connection(self._unit)
        if self._unit.over:
            session.close()
        return session

    @cached_property
    def _proxied(self) -> SyncSession:  # type: ignore[override]
        return self.sync_session

    @property
    def _is_made(self) -> bool:
        return "sync_session" in self.__dict__

    def begin(self) -> AsyncSessionTransaction:
        return _Transaction(self)

    def begin_nested(self) -> AsyncSessionTransaction:
        return _Transaction(self, nested=True)

    async def __aexit__(self, *_: object) -> None: ...

    async def _run(self, query: Query, values: Values, send: Any = driver.run) -> CursorResult[Any]:
        await self._flush()
        if options := self._options:
            return await self._engine.execute_by_connection(self._unit, query, values, send, options)
        return await super()._run(query, values, send)

    @property
    def _options(self) -> Mapping[str, Any]:
        return cast(Connection, self.sync_session.bind).get_execution_options() if self._is_made else super()._options

    async def _flush(self) -> None:
        if self._unit.writes:
            if self._has_changes() and self.autoflush:
                await self.flush()
            if self.in_nested_transaction() or not self.in_transaction():
                await self.connection()  # SQLAlchemy begins, and sends its SAVEPOINT, when it is asked for one

    async def _finish(self) -> None:
        if self._operation.locked():
            raise StatementUnderWay
        if self._unit.writes:
            if self._is_made and (self.in_transaction() or self._has_changes()):
                await self.commit()
        elif self._has_changes():  # they would be dropped without a word
            raise ReadOnlySession

    def _has_changes(self) -> bool:
        return self._is_made and bool(self.new or self.dirty or self.deleted)

    def _close(self) -> None:
        if self._is_made and not self._operation.locked():  # else when that has ended, whose midst this would be
            told = self.sync_session.dispatch
            if self._unit.writes and self.in_transaction() and (told.after_rollback or told.after_soft_rollback):
                self.sync_session.rollback()
            self.sync_session.close()


class _Transaction(AsyncSessionTransaction):
    session: Session


def _one_at_a_time(operation: Callable[..., Any]) -> Callable[..., Any]:
    ends = operation.__name__ in ("commit", "rollback", "__aexit__")
    closes = operation.__name__ in ("aclose", "close", "invalidate", "reset")

    @wraps(operation)
    async def ours(self: Session | _Transaction, *arguments: Any, **options: Any) -> Any:
        session, task = (self if isinstance(self, Session) else self.session, asyncio.current_task())
        if closes and session._unit.writes and not session._unit.over:  # and be committed without what it did
            raise StatementRefused("The unit of work ends its session itself: do without close()")
        if closes or session._in_operation is task:  # of SQLAlchemy's methods some call others
            return await operation(self, *arguments, **options)
        savepoints = session._unit.savepoints
        is_savepoint = isinstance(self, _Transaction) and bool(self.nested)
        if not (ends or operation.__name__ == "start") or session._has_changes():
            await session._engine.ready(session._unit)
        async with session._unit._seat.whole(), session._operation:  # in this order, as the rows of bulk hold the first
            savepoints.check(session._unit.fail)
            session._in_operation = task
            try:
                with translated(writing=session._unit.writes, connecting=False):
                    result = await operation(self, *arguments, **options)
                if is_savepoint and operation.__name__ == "start":
                    savepoints.begun(self)
                    if session._unit.begun:  # now, as a ReadSession beside this one may speak first
                        await session.connection()
                return result
            finally:
                session._in_operation = None
                if ends:
                    savepoints.ended(self if is_savepoint else None)
                if session._unit.over:
                    session.sync_session.close()

    return ours


for _name in (
    *("commit", "connection", "delete", "delete_all", "execute", "flush", "get", "get_one", "merge", "merge_all"),
    *("aclose", "close", "invalidate", "refresh", "reset", "rollback"),
    *("run_sync", "scalar", "scalars", "stream", "stream_scalars"),
):
    setattr(Session, _name, _one_at_a_time(getattr(AsyncSession, _name)))
for _name in ("start", "commit", "rollback", "__aexit__"):
    setattr(_Transaction, _name, _one_at_a_time(getattr(AsyncSessionTransaction, _name)))
