"""All or nothing, and the row at fault: each bulk function leaves the transaction either with all of its rows or as it
was before, and an error that a row caused says which one.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from sqlalchemy.engine import Dialect

from app.database import dialect, driver, errors
from app.database.backend import Session
from app.database.bulk.rows import Batch
from app.database.unit import Unit


class _Sum(Protocol):
    def __add__(self, other: Any, /) -> Any: ...


Result = TypeVar("Result", bound=_Sum)


class ByInsert(errors.DatabaseError):
    """The fastest way cannot carry these rows: an ordinary INSERT can."""


OF_A_ROW = (errors.UniqueViolation, errors.ExclusionViolation, errors.ForeignKeyViolation, errors.InvalidValue)


@asynccontextmanager
async def all_or_nothing(session: Session) -> AsyncIterator[tuple[Unit, Dialect]]:
    """The unit of a write session, after what was added to the session, and the dialect of its server. Raises
    ReadOnlySession, SessionClosed.

    Entities that are in the session already are not refreshed.
    """
    if not session._unit.writes:
        raise errors.ReadOnlySession
    if options := session._options:
        raise errors.StatementRefused(
            f"Bulk rows go by the table itself, without the connection's {', '.join(options)}"
        )
    await session._flush()
    async with session._unit._seat.whole(), _savepoint(session._unit, "bulk"):
        yield session._unit, session._engine.dialect


async def execute(unit: Unit, text: str) -> int:
    """Run a statement without parameters; how many rows it matched."""
    return (await unit.run(text, (), driver.run_text, True)).rowcount


async def apply(unit: Unit, batch: Batch, work: Callable[[Unit, Batch], Awaitable[Result]]) -> Result:
    """`work` on the batch, of halves the sum: when a row is at fault, halves of halves find the first: `error.row`."""
    try:
        async with _savepoint(unit, "bulk_batch", dialect.RELEASES_BATCHES):
            return await work(unit, batch)
    except ByInsert:
        return await apply(unit, replace(batch, by_insert=True), work)
    except OF_A_ROW as error:
        if error.row is not None:
            raise
        if len(batch) == 1:
            error.row = batch.numbers[0]
            raise
    half = len(batch) // 2
    left = await apply(unit, batch.part(0, half), work)
    right = await apply(unit, batch.part(half), work)
    total: Result = left + right
    return total


@asynccontextmanager
async def _savepoint(unit: Unit, name: str, release: bool = True) -> AsyncIterator[None]:
    name += "_" * (unit._seat.depth - 1)  # of its own where what makes the rows of one bulk function calls another
    await execute(unit, f"SAVEPOINT {name}")
    try:
        yield
        if release:
            await execute(unit, f"RELEASE SAVEPOINT {name}")
    except Exception:
        try:
            await execute(unit, f"ROLLBACK TO SAVEPOINT {name}")
            await execute(unit, f"RELEASE SAVEPOINT {name}")
        except Exception as failure:  # the first error is the one that is seen, and nothing is stored
            unit.fail(failure)
        raise
    except BaseException as error:  # cancelled: half may be sent, and whoever catches this must not commit it
        unit.fail(error)
        raise
