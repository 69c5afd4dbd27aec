"""What SQLAlchemy's AsyncSession has beside the methods that both access styles have (test_engine.py)."""

from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import text

from app.database import Session


def _query(query: Any) -> Any:
    return text(query) if isinstance(query, str) else query


async def all_rows(session: Session, query: Any, values: Any) -> list[list[Any]]:
    """The rows by each of the other ways that a session of this kind has."""
    buffered = {"stream_results": False, "yield_per": None}
    ways: list[list[Any]] = [list(await session.execute(_query(query), values, execution_options=buffered))]
    if session._unit.writes:  # a cursor needs a transaction
        ways.append([row async for row in await session.stream(_query(query), values)])
    return ways


async def write(session: Session, query: Any, values: Any) -> Any:
    """Run a statement that writes; the key of a row that was inserted, the first value of a RETURNING."""
    result: Any = await session.execute(_query(query), values)
    if result.context.isinsert and not result.context._is_explicit_returning:
        return result.inserted_primary_key[0]
    return result.scalar() if result.returns_rows else None


async def write_many(session: Session, query: Any, values: list[Any]) -> None:
    await session.execute(_query(query), values)


async def stream(session: Session, query: Any) -> AsyncIterator[Any]:
    """The rows by a cursor of the server."""
    async for row in await session.stream(query):
        yield row
