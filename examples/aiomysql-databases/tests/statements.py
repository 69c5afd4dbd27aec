"""Running a statement in the words of this access style, for tests that are the same in both."""

from typing import Any

from sqlalchemy.sql import ClauseElement

from app.database import Session


async def run(session: Session, statement: ClauseElement) -> None:
    await session.execute(statement)


async def rows(session: Session, statement: ClauseElement) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in row) for row in await session.fetch_all(statement)]


async def value(session: Session, statement: ClauseElement) -> Any:
    return await session.fetch_val(statement)
