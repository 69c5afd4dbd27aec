"""Sessions of SQLAlchemy's ORM on a unit of work, one operation at a time, with our errors."""

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import Any

from sqlalchemy import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from app.database import driver
from app.database.engine import Engine, Query, Values
from app.database.errors import ReadOnlySession, StatementUnderWay
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

    def __init__(self, engine: Engine, unit: Unit) -> None:
        # close_resets_only: a session that is used after its end would otherwise begin anew and never give back.
        super().__init__(expire_on_commit=False, close_resets_only=False)
        self._engine, self._unit = engine, unit
        self._operation = asyncio.Lock()
        self._in_operation: object = None
        self.sync_session.bind = engine.connection(unit)

    async def _run(self, query: Query, values: Values, send: Any = driver.run) -> CursorResult[Any]:
        await self._flush()
        return await super()._run(query, values, send)

    async def _flush(self) -> None:
        if self._unit.writes and self._has_changes():
            await self.flush()

    async def _finish(self) -> None:
        if self._operation.locked():
            raise StatementUnderWay
        if self._unit.writes:
            if self.in_transaction() or self._has_changes():
                await self.commit()
        elif self._has_changes():  # they would be dropped without a word
            raise ReadOnlySession

    def _has_changes(self) -> bool:
        return bool(self.new or self.dirty or self.deleted)

    def _close(self) -> None:
        self.sync_session.close()


def _one_at_a_time(operation: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(operation)
    async def ours(self: Session, *arguments: Any, **options: Any) -> Any:
        task = asyncio.current_task()
        if self._in_operation is task:  # of SQLAlchemy's methods some call others
            return await operation(self, *arguments, **options)
        await self._engine.ready(self._unit)
        async with self._operation:
            self._in_operation = task
            try:
                with translated(writing=self._unit.writes):
                    return await operation(self, *arguments, **options)
            finally:
                self._in_operation = None

    return ours


for _name in (
    *("commit", "connection", "delete", "execute", "flush", "get", "get_one", "merge", "refresh", "rollback"),
    *("run_sync", "scalar", "scalars", "stream", "stream_scalars"),
):
    setattr(Session, _name, _one_at_a_time(getattr(AsyncSession, _name)))
