"""Many units of work on few rows, with savepoints in them: each ends as if it were alone, or is told to come back."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import func, insert, select, text, update

from app.database import Database, DatabaseError, IsolationLevel, Session, metrics
from tests import facts
from tests.probes import probe, probes
from tests.statements import run, savepoint, value

MakeDatabase = Callable[..., Database]
Work = Callable[[Session], Awaitable[None]]

ROWS, UNITS = 3, 24


async def storm(make: MakeDatabase, work: Work, isolation_level: IsolationLevel) -> None:
    """Each unit adds 2 to the sum of the rows; what is stored is what was reported as done."""
    database = make(pool_size=8, max_overflow=0, pool_timeout=20)
    async with database.transaction() as session:
        for id in range(ROWS):
            await run(session, insert(probes).values(probe(id)))
    before = metrics.retried._value.get()

    async def unit(session: Session) -> None:
        await session.fetch_all(text(facts.DEADLOCKS_SOON))
        await work(session)

    ends = await asyncio.gather(
        *(database.run_transaction(unit, isolation_level=isolation_level, attempts=40) for _ in range(UNITS)),
        return_exceptions=True,
    )
    failed = [end for end in ends if end is not None]
    assert all(isinstance(end, DatabaseError) and end.status == 503 for end in failed), failed
    assert len(failed) < UNITS
    assert metrics.retried._value.get() > before  # else it was no storm
    async with database.read() as session:
        assert await value(session, select(func.sum(probes.c.value))) == 2 * (UNITS - len(failed))
    assert database.status().in_use == 0


def two_rows() -> tuple[int, int]:
    first, second = random.sample(range(ROWS), 2)
    return first, second


async def test_a_storm_of_deadlocks_leaves_exact_sums(probe_database: MakeDatabase) -> None:
    async def work(session: Session) -> None:
        for id in two_rows():
            async with savepoint(session):
                await run(session, update(probes).where(probes.c.id == id).values(value=probes.c.value + 1))
            await asyncio.sleep(0)

    await storm(probe_database, work, "READ COMMITTED")


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_a_storm_of_serialization_failures_leaves_exact_sums(
    probe_database: MakeDatabase, level: IsolationLevel
) -> None:
    async def work(session: Session) -> None:
        for id in two_rows():
            if level == "SERIALIZABLE":  # what was read stays true, or the unit fails
                now = await value(session, select(probes.c.value).where(probes.c.id == id))
            else:
                now = probes.c.value
            async with savepoint(session):
                await run(session, update(probes).where(probes.c.id == id).values(value=now + 1))

    await storm(probe_database, work, level)


async def test_a_storm_of_lock_timeouts_leaves_exact_sums(probe_database: MakeDatabase) -> None:
    async def work(session: Session) -> None:
        for id in sorted(two_rows()):
            async with savepoint(session):
                await run(session, select(probes.c.id).where(probes.c.id == id).with_for_update(nowait=True))
                await run(session, update(probes).where(probes.c.id == id).values(value=probes.c.value + 1))

    await storm(probe_database, work, "READ COMMITTED")
