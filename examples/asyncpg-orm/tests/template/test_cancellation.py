"""Cancelling and failing at any moment loses no connection and no place, and never half a unit of work."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from itertools import count as counter

import pytest
from pydantic import BaseModel
from sqlalchemy import func, insert, select
from starlette.requests import ClientDisconnect
from starlette.types import Message

from app.database import Database, OutcomeUnknown, SessionClosed, TransactionTimeout, driver
from app.ndjson import ndjson
from app.settings import Settings
from tests import facts
from tests.probes import probe, probes
from tests.proxy import Proxy
from tests.statements import run, value

MakeDatabase = Callable[..., Database]


class Number(BaseModel):
    number: int


async def never() -> Message:
    raise NotImplementedError


@pytest.mark.usefixtures("caplog")
async def test_five_hundred_cancels_lose_nothing(
    probe_database: MakeDatabase, server: driver.RawConnection, caplog: pytest.LogCaptureFixture
) -> None:
    database = probe_database(pool_size=5, max_overflow=0, pool_timeout=30)
    dice = random.Random(7)
    ids = counter()
    done: list[int] = []

    async def read() -> None:
        async with database.read() as session:
            assert await value(session, select(func.count()).select_from(probes)) % 2 == 0

    async def write() -> None:
        first = 2 * next(ids)
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(first)))
            await run(session, insert(probes).values(probe(first + 1)))
        done.append(first)

    async def cancelled() -> None:
        task = asyncio.create_task(write() if dice.random() < 2 / 3 else read())
        await asyncio.sleep(dice.random() * 0.004)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for _ in range(50):
        await asyncio.gather(*(cancelled() for _ in range(10)))

    status = database.status()
    assert (status.in_use, status.waiting) == (0, 0)
    assert status.open <= 5
    together = asyncio.Barrier(5)

    async def all_at_once() -> int:
        async with database.read() as session:
            await together.wait()
            number: int = await value(session, select(func.count()).select_from(probes))
            return number

    counts = set(await asyncio.gather(*(all_at_once() for _ in range(5))))
    assert len(counts) == 1
    assert counts.pop() % 2 == 0
    acknowledged = select(func.count()).select_from(probes).where(probes.c.id.in_(done or [-1]))
    async with database.read() as session:
        assert await value(session, acknowledged) == len(done)
    assert await facts.open_transactions(server) == 0
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


async def test_a_hundred_commits_that_fail_lose_nothing(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=2, max_overflow=0)

    async def fail(number: int) -> None:
        with pytest.raises(facts.COMMIT_FAILURE):
            async with database.transaction() as session:
                await run(session, insert(probes).values(probe(number)))
                await facts.make_commit_fail(session, server)

    for number in range(100):
        await fail(number)
    status = database.status()
    assert status.in_use == 0
    async with database.read() as session:
        assert await value(session, select(func.count()).select_from(probes)) == 0
    assert await facts.open_transactions(server) == 0


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("end", ["is cancelled", "swallows the limit", "returns"])
async def test_a_unit_that_nobody_closes_ends_with_its_task_or_at_its_limit(
    probe_database: MakeDatabase, caplog: pytest.LogCaptureFixture, end: str, *, write: bool
) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_timeout=30, transaction_timeout=3)
    waiting = asyncio.Event()

    async def rows() -> AsyncIterator[int]:
        async with database.transaction() if write else database.read() as session:
            if write:
                await run(session, insert(probes).values(probe(1)))
            yield await value(session, select(func.count()).select_from(probes))

    async def answer(found: AsyncIterator[int]) -> None:
        await anext(found)
        waiting.set()
        if end != "returns":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if end == "is cancelled":
                    raise

    found = rows()  # held here, as a circle of references does until the garbage collector comes
    task = asyncio.create_task(answer(found))
    await asyncio.wait((task, asyncio.create_task(waiting.wait())), return_when=asyncio.FIRST_COMPLETED)
    assert waiting.is_set()
    assert database.status().in_use == 1
    if end == "is cancelled":
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    async with database.read() as session:
        assert await value(session, select(func.count()).select_from(probes)) == 0
    assert database.status().in_use == 0
    await found.aclose()  # type: ignore[attr-defined]  # a generator's, which then has nothing more to end
    assert database.status().in_use == 0
    said = [record.getMessage() for record in caplog.records if record.name == "app.database.forsaken"]
    assert len(said) == (end != "is cancelled")


async def test_a_generator_that_goes_on_in_other_tasks_after_its_limit_is_told_that_nothing_is_stored(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0, transaction_timeout=2)

    async def stored() -> AsyncGenerator[int]:
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            yield 1

    found = stored()
    assert await asyncio.create_task(anext(found)) == 1
    async with asyncio.timeout(10):
        while database.status().in_use:
            await asyncio.sleep(0.01)
    with pytest.raises(TransactionTimeout):
        await asyncio.create_task(anext(found, None))
    assert await driver.scalar(server, "SELECT count(*) FROM probes") == 0


async def test_a_unit_that_another_task_ends_has_its_limit_there(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(url=url, pool_size=1, max_overflow=0, transaction_timeout=2)
        unit = database.transaction()

        async def begin() -> None:
            await run(await unit.__aenter__(), insert(probes).values(probe(1)))

        await asyncio.create_task(begin())
        proxy.fall_silent()
        async with asyncio.timeout(10):
            with pytest.raises(OutcomeUnknown):
                await unit.__aexit__(None, None, None)
        proxy.speak_again()
        assert database.status().in_use == 0
        assert database._seats == {}
        await database.close()


async def test_a_task_that_ends_the_unit_of_another_keeps_its_own(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=2, max_overflow=0)
    unit = database.transaction()

    async def begin() -> None:
        await run(await unit.__aenter__(), insert(probes).values(probe(1)))

    await asyncio.create_task(begin())
    async with database.of_request() as session:
        assert await value(session, select(func.count()).select_from(probes)) == 0
        await unit.__aexit__(None, None, None)
        assert [*database._seats.values()] == [session._unit._seat]
        async with database.transaction() as inner:  # one connection for both
            await run(inner, insert(probes).values(probe(2)))
            assert await value(session, select(func.count()).select_from(probes)) == 2
            assert database.status().in_use == 1
    assert database._seats == {}


async def test_nothing_is_kept_of_a_unit_without_a_statement_whose_task_has_ended(probe_database: MakeDatabase) -> None:
    database = probe_database()
    unit = database.read()
    await asyncio.create_task(unit.__aenter__())
    await asyncio.sleep(0)
    assert database._seats == {}
    await unit.__aexit__(None, None, None)


async def test_a_unit_that_is_handed_on_before_it_begins_has_its_limit_too(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_timeout=30, transaction_timeout=3)
    unit = database.read()
    session = await asyncio.create_task(unit.__aenter__())
    assert await value(session, select(func.count()).select_from(probes)) == 0
    async with database.read() as another:
        assert await value(another, select(func.count()).select_from(probes)) == 0
    with pytest.raises(SessionClosed):
        await value(session, select(func.count()).select_from(probes))
    await unit.__aexit__(None, None, None)


@pytest.mark.parametrize("fails_at", [1, 2, 3])  # the beginning, the first page, a later one
async def test_pages_end_with_their_answer(probe_database: MakeDatabase, fails_at: int) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    sent = 0

    async def numbers() -> AsyncIterator[list[Number]]:
        async with database.read() as session:
            while True:
                yield [Number(number=await value(session, select(func.count()).select_from(probes)))]

    async def send(_: Message) -> None:
        nonlocal sent
        sent += 1
        if sent == fails_at:
            raise OSError("The client has gone")

    pages = numbers()  # held here
    response = await ndjson(pages)
    assert database.status().in_use == 1
    with pytest.raises(ClientDisconnect):
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, never, send)
    assert database.status().in_use == 0
