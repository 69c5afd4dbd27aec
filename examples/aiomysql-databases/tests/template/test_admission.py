"""Admission: first come, first served, at most so many inside, nobody waits for ever, nothing is lost."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import select, text

from app.database import Database, PoolTimeout, driver
from app.database.pool import WAITERS_PER_PLACE
from app.settings import Settings
from tests import facts
from tests.statements import run, value

MakeDatabase = Callable[..., Database]


async def test_clients_are_served_in_the_order_of_their_arrival(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=2, max_overflow=0, pool_timeout=30)
    served: list[int] = []

    async def ask(number: int) -> None:
        async with database.read() as session:
            served.append(number)
            await value(session, select(1))

    warm = asyncio.Barrier(2)

    async def connect() -> None:
        async with database.read() as session:
            await value(session, select(1))
            await warm.wait()

    await asyncio.gather(connect(), connect())
    await asyncio.gather(*(ask(number) for number in range(100)))
    assert len(served) == 100
    assert all(abs(place - number) <= 2 for place, number in enumerate(served))  # two at once may swap


async def test_two_hundred_clients_on_a_pool_of_two_are_all_served_or_told(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=1, pool_timeout=2)

    async def ask() -> bool:
        try:
            async with database.read() as session:
                await run(session, text(facts.SLEEP.format(0.01)))
        except PoolTimeout:
            return False
        return True

    assert set(await asyncio.gather(*(ask() for _ in range(200)))) == {True, False}
    status = database.status()
    assert (status.in_use, status.waiting) == (0, 0)
    assert status.open <= 2
    assert await facts.connections(server) <= 2 + 1


async def test_a_wait_ends_after_the_pool_timeout(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_timeout=1)
    release = asyncio.Event()

    async def hold() -> None:
        async with database.read() as session:
            await value(session, select(1))
            held.set()
            await release.wait()

    held = asyncio.Event()
    holder = asyncio.create_task(hold())
    await held.wait()
    with pytest.raises(PoolTimeout):
        async with database.read() as session:
            await value(session, select(1))
    release.set()
    await holder
    async with database.read() as session:
        assert await value(session, select(1)) == 1


async def waiting(database: Database, number: int) -> None:
    """Until so many wait."""
    while database.status().waiting < number:
        await asyncio.sleep(0)


async def test_a_waiter_that_gives_up_leaves_its_turn_to_the_next(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_timeout=60)
    order: list[str] = []
    leave = asyncio.Event()

    async def enter(name: str) -> None:
        async with database.read() as session:
            await value(session, select(1))
            order.append(name)
            await leave.wait()

    first = asyncio.create_task(enter("first"))
    while not order:
        await asyncio.sleep(0.001)
    second, third = (asyncio.create_task(enter("second")), asyncio.create_task(enter("third")))
    await waiting(database, 2)
    second.cancel()
    leave.set()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert order == ["first", "third"]
    assert (database.status().in_use, database.status().waiting) == (0, 0)


async def test_the_queue_is_bounded(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_timeout=60)

    async def enter() -> None:
        async with database.read() as session:
            await value(session, select(1))
            await asyncio.sleep(3600)

    tasks = [asyncio.create_task(enter()) for _ in range(1 + WAITERS_PER_PLACE)]
    await waiting(database, WAITERS_PER_PLACE)
    with pytest.raises(PoolTimeout):
        await enter()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (database.status().in_use, database.status().waiting) == (0, 0)


async def test_a_generator_that_was_abandoned_gives_its_place_back(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_timeout=5)

    async def numbers() -> AsyncIterator[int]:
        async with database.read() as session:
            while True:
                yield await value(session, select(1))

    async def look() -> None:
        async for number in numbers():
            assert number == 1
            break  # the event loop closes the generator later, in a task of its own

    for _ in range(3):
        await asyncio.create_task(look())
        gc.collect()
    async with database.read() as session:
        assert await value(session, select(1)) == 1
    assert (database.status().in_use, database.status().waiting) == (0, 0)


async def test_a_place_on_the_replica_is_given_back_before_one_on_the_primary_is_taken(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    database = probe_database(replica_url=settings.database.url)

    def in_use() -> dict[str, int]:
        return {name: status.in_use for name, status in database.statuses().items()}

    async with database.read() as reading:
        assert await value(reading, select(1)) == 1
        assert in_use() == {"primary": 0, "replica": 1}
        async with database.transaction() as writing:
            assert await value(writing, select(1)) == 1
            assert in_use() == {"primary": 1, "replica": 0}
            assert await value(reading, select(1)) == 1  # in the transaction
            assert in_use() == {"primary": 1, "replica": 0}
        assert await value(reading, select(1)) == 1
        assert in_use() == {"primary": 0, "replica": 1}
    assert in_use() == {"primary": 0, "replica": 0}
