"""Isolation levels are what they say, and a unit of work that meets another one is run again as a whole."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from app.database import Database, IsolationLevel, Retryable, Session
from tests import facts
from tests.probes import probe, probes
from tests.statements import run, value

MakeDatabase = Callable[..., Database]


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
async def test_a_transaction_has_the_isolation_level_that_it_asked_for(
    probe_database: MakeDatabase, level: IsolationLevel
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)

    async def seen(**options: IsolationLevel) -> str:
        async with database.transaction(**options) as session:
            await run(session, insert(probes).values(probe(1)))  # InnoDB shows a transaction once it has begun to work
            name = await facts.isolation_level(session)
            await run(session, probes.delete())
            return name

    assert await seen(isolation_level=level) == level
    assert await seen() == "READ COMMITTED"  # the next one on this connection


async def test_the_service_sets_the_level_of_those_that_ask_for_none(probe_database: MakeDatabase) -> None:
    async with probe_database(isolation_level="REPEATABLE READ").transaction() as session:
        await run(session, insert(probes).values(probe(1)))
        assert await facts.isolation_level(session) == "REPEATABLE READ"


async def _skewed_write(database: Database, level: IsolationLevel) -> int:
    """Two units at once read both rows and each takes from one while the sum allows it: how many did."""
    both_read = asyncio.Barrier(2)
    first_time = True

    async def withdraw(id: int) -> bool:
        async def work(session: Session) -> bool:
            nonlocal first_time
            total = await value(session, select(func.sum(probes.c.value)))
            if first_time:
                await both_read.wait()
                first_time = False
            if total < 2:
                return False
            await run(session, update(probes).where(probes.c.id == id).values(value=probes.c.value - 2))
            return True

        return await database.run_transaction(work, isolation_level=level)

    async with database.transaction() as session:
        await run(session, probes.delete())
        await run(session, insert(probes).values(probe(1, value=1)))
        await run(session, insert(probes).values(probe(2, value=1)))
    return sum(await asyncio.gather(withdraw(1), withdraw(2)))


async def test_serializable_prevents_write_skew_and_read_committed_does_not(probe_database: MakeDatabase) -> None:
    database = probe_database()
    assert await _skewed_write(database, "READ COMMITTED") == 2
    assert await _skewed_write(database, "SERIALIZABLE") == 1


async def alone(work: Coroutine[Any, Any, None]) -> None:
    await work


async def in_a_task_group(work: Coroutine[Any, Any, None]) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(work)


async def in_task_groups(work: Coroutine[Any, Any, None]) -> None:
    await in_a_task_group(in_a_task_group(work))


@pytest.mark.parametrize("how", [alone, in_a_task_group, in_task_groups])
async def test_a_deadlock_is_run_again_and_both_units_succeed(
    probe_database: MakeDatabase, how: Callable[[Coroutine[Any, Any, None]], Awaitable[None]]
) -> None:
    database = probe_database()
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
        await run(session, insert(probes).values(probe(2)))
    both_hold_one = asyncio.Barrier(2)
    attempts = 0

    async def add(first: int, second: int) -> None:
        async def work(session: Session) -> None:
            nonlocal attempts
            attempts += 1
            mine = attempts
            await run(session, update(probes).where(probes.c.id == first).values(value=probes.c.value + 1))
            if mine <= 2:
                await both_hold_one.wait()
            await how(run(session, update(probes).where(probes.c.id == second).values(value=probes.c.value + 1)))

        await database.run_transaction(work)

    await asyncio.gather(add(1, 2), add(2, 1))
    assert attempts == 3
    async with database.read() as session:
        assert await value(session, select(func.sum(probes.c.value))) == 4


async def test_sixteen_units_at_once_lose_no_update(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=8, max_overflow=0, pool_timeout=30)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))

    async def increment(session: Session) -> None:
        before = await value(session, select(probes.c.value).where(probes.c.id == 1))
        await run(session, update(probes).where(probes.c.id == 1).values(value=before + 1))

    async def unit() -> None:
        await database.run_transaction(increment, isolation_level="SERIALIZABLE", attempts=50)

    await asyncio.gather(*(unit() for _ in range(16)))
    async with database.read() as session:
        assert await value(session, select(probes.c.value)) == 16


async def test_a_unit_that_never_succeeds_is_given_up_and_leaves_nothing(probe_database: MakeDatabase) -> None:
    database = probe_database()
    attempts = 0

    async def work(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        await run(session, insert(probes).values(probe(attempts)))
        raise Retryable

    with pytest.raises(Retryable):
        await database.run_transaction(work, attempts=3)
    assert attempts == 3
    async with database.read() as session:
        assert await value(session, select(func.count()).select_from(probes)) == 0


async def test_the_place_is_free_while_a_unit_waits_to_be_run_again(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    order: list[str] = []

    async def other() -> None:
        async with database.read() as session:
            await value(session, select(1))
            order.append("other")

    async def work(session: Session) -> None:
        await value(session, select(1))
        order.append("attempt")
        if len(order) > 1:
            return
        waiting = asyncio.create_task(other())
        while not database.status().waiting:
            await asyncio.sleep(0)
        others.append(waiting)
        raise Retryable

    others: list[asyncio.Task[None]] = []
    await database.run_transaction(work)
    await asyncio.gather(*others)
    assert order == ["attempt", "other", "attempt"]


async def test_an_error_of_the_unit_itself_is_not_tried_again(probe_database: MakeDatabase) -> None:
    attempts = 0

    async def work(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        raise LookupError

    with pytest.raises(LookupError):
        await probe_database().run_transaction(work)
    assert attempts == 1


async def test_a_unit_that_asks_an_iterator_for_more_than_it_has_fails_by_that_error(
    probe_database: MakeDatabase,
) -> None:
    async def work(session: Session) -> None:
        await run(session, insert(probes).values(probe(1)))
        raise StopAsyncIteration

    database = probe_database()
    with pytest.raises(RuntimeError, match="StopAsyncIteration"):
        await database.run_transaction(work)
    async with database.read() as session:
        assert await value(session, select(func.count()).select_from(probes)) == 0
