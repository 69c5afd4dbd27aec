"""What `databases` has beside the methods that both access styles have (test_engine.py)."""

from collections.abc import AsyncIterator
from typing import Any

from app.database import Session


async def all_rows(session: Session, query: Any, values: Any) -> list[list[Any]]:
    """The rows by each of the other ways that a session of this kind has."""
    return [[row[:] async for row in session.iterate(query, values)]]


async def write(session: Session, query: Any, values: Any) -> Any:
    """Run a statement that writes; the key of a row that was inserted, the first value of a RETURNING."""
    return await session.execute(query, values)


async def write_many(session: Session, query: Any, values: list[Any]) -> None:
    await session.execute_many(query, values)


async def stream(session: Session, query: Any) -> AsyncIterator[Any]:
    """The rows by a cursor of the server."""
    async for row in session.iterate(query):
        yield row[:]
