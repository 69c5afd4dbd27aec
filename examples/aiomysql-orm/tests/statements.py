"""Running a statement in the words that both access styles have, for the tests of the data layer."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from sqlalchemy.sql import ClauseElement

from app.database import Session


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
