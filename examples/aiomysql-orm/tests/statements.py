"""Running a statement in the words of this access style, for tests that are the same in both."""

from typing import Any

from sqlalchemy import Executable

from app.database import Session


async def run(session: Session, statement: Executable) -> None:
    await session.execute(statement)


async def rows(session: Session, statement: Executable) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in (await session.execute(statement)).all()]


async def value(session: Session, statement: Executable) -> Any:
    return (await session.execute(statement)).scalar()
