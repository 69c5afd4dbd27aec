"""All or nothing, and the row at fault: each bulk function leaves the transaction either with all of its rows or as it
was before, and an error that a row caused says which one.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar

from app.database import driver
from app.database.backend import Session
from app.database.bulk.connection import raw_connection
from app.database.bulk.rows import Batch
from app.database.bulk.statements import execute
from app.database.errors import ForeignKeyViolation, InvalidValue, Retryable, UniqueViolation


class _Sum(Protocol):
    def __add__(self, other: Any, /) -> Any: ...


Result = TypeVar("Result", bound=_Sum)

OF_A_ROW = (UniqueViolation, ForeignKeyViolation, InvalidValue)


@asynccontextmanager
async def all_or_nothing(session: Session) -> AsyncIterator[driver.RawConnection]:
    """The raw connection of a write session. Raises ReadOnlySession, SessionClosed."""
    async with raw_connection(session) as raw, _savepoint(raw, "bulk"):
        yield raw


async def apply(
    raw: driver.RawConnection, batch: Batch, work: Callable[[driver.RawConnection, Batch], Awaitable[Result]]
) -> Result:
    """`work` on the batch. When a row is at fault, halves of halves of it find the first such row: `error.row`."""
    try:
        async with _savepoint(raw, "bulk_batch"):
            return await work(raw, batch)
    except OF_A_ROW as error:
        if error.row is not None:
            raise
        if len(batch) == 1:
            error.row = batch.numbers[0]
            raise
    half = len(batch) // 2
    left = await apply(raw, batch.part(0, half), work)
    right = await apply(raw, batch.part(half), work)
    total: Result = left + right
    return total


@asynccontextmanager
async def _savepoint(raw: driver.RawConnection, name: str) -> AsyncIterator[None]:
    await execute(raw, f"SAVEPOINT {name}")
    try:
        yield
    except Retryable:  # the whole transaction is lost
        raise
    except Exception:
        with suppress(Exception):  # the first error is the one that is seen
            await execute(raw, f"ROLLBACK TO SAVEPOINT {name}")
            await execute(raw, f"RELEASE SAVEPOINT {name}")
        raise
    except BaseException:  # cancelled: half of a batch may be sent, and whoever catches this must not commit it
        driver.terminate(raw)
        raise
    await execute(raw, f"RELEASE SAVEPOINT {name}")
