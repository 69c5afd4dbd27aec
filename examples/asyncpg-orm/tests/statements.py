"""Running a statement in the words that both access styles have, for the tests of the data layer."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import ClauseElement

from app.database import Session, driver
from app.settings import DatabaseSettings


async def run(session: Session, statement: Any) -> None:
    await session.execute(statement)


async def rows(session: Session, statement: ClauseElement) -> list[tuple[Any, ...]]:
    return [row[:] for row in await session.fetch_all(statement)]


async def value(session: Session, statement: ClauseElement) -> Any:
    return await session.fetch_val(statement)


def savepoint(session: Any) -> AbstractAsyncContextManager[Any]:
    """By the name that the access style has for it."""
    nested: AbstractAsyncContextManager[Any] = (
        session.begin_nested() if hasattr(session, "begin_nested") else session.transaction()
    )
    return nested


@asynccontextmanager
async def created(settings: DatabaseSettings, *tables: Table) -> AsyncIterator[None]:
    """The tables are there within the block. By SQLAlchemy's own engine."""
    engine = sqlalchemy_engine(settings)
    async with engine.begin() as connection:
        for table in tables:
            await connection.run_sync(table.create)
    try:
        yield
    finally:
        async with engine.begin() as connection:
            for table in reversed(tables):
                await connection.run_sync(table.drop)
        await engine.dispose()


def sqlalchemy_engine(settings: DatabaseSettings, *, read_only: bool = False, **options: Any) -> AsyncEngine:
    """SQLAlchemy's own, on connections as the service's: for DDL, and to compare with."""
    connect = partial(driver.connect, settings.target, settings, read_only=read_only)
    return create_async_engine(f"{driver.DIALECT}://", async_creator=connect, poolclass=NullPool, **options)
