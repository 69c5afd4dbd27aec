"""Time limits hold, also when the network swallows what is sent, and nothing runs on for those who gave up."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import func, insert, select, text

from app.database import Database, PoolTimeout, ServerGone, Session, TransactionTimeout, driver
from app.settings import Settings
from tests import facts
from tests.probes import probe, probes
from tests.proxy import Proxy
from tests.statements import run, value

MakeDatabase = Callable[..., Database]


async def test_a_unit_of_work_ends_at_its_limit_and_is_rolled_back(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(transaction_timeout=0.2, pool_size=1, max_overflow=0)
    with pytest.raises(TransactionTimeout):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            await asyncio.sleep(3600)
    assert await driver.scalar(server, "SELECT count(*) FROM probes") == 0
    async with database.read() as session:
        assert await value(session, select(1)) == 1


async def test_a_limit_of_zero_is_none(probe_database: MakeDatabase) -> None:
    """As of the server's own limits."""
    database = probe_database(transaction_timeout=0, statement_timeout=0)

    async def work(session: Session) -> None:
        for number in (1, 2):
            await run(session, insert(probes).values(probe(number)))
            await value(session, text(facts.SLEEP.format(0.05)))

    await database.run_transaction(work)
    async with database.read() as session:
        assert await value(session, select(func.count()).select_from(probes)) == 2


async def test_a_limit_inside_the_unit_is_not_taken_for_the_units_own(probe_database: MakeDatabase) -> None:
    with pytest.raises(TimeoutError):
        async with probe_database().read():
            async with asyncio.timeout(0):
                await asyncio.sleep(1)


async def test_a_network_that_falls_silent_holds_nobody_for_ever(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(
            url=url, pool_size=2, max_overflow=0, pool_timeout=1, transaction_timeout=1, connect_timeout=1
        )

        async def ask() -> int:
            async with database.read() as session:
                await value(session, select(1))
            async with database.transaction() as session:
                number: int = await value(session, select(1))
                return number

        assert set(await asyncio.gather(ask(), ask())) == {1}
        proxy.fall_silent()
        async with asyncio.timeout(10):  # against a hang: each is told long before
            told = await asyncio.gather(*(ask() for _ in range(6)), return_exceptions=True)
        assert {type(answer) for answer in told} <= {TransactionTimeout, PoolTimeout, ServerGone}
        assert (database.status().in_use, database.status().waiting) == (0, 0)
        proxy.speak_again()
        assert set(await asyncio.gather(ask(), ask())) == {1}


async def test_a_server_that_accepts_and_never_answers_is_gone_after_the_connect_timeout(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        proxy.fall_silent()
        database = probe_database(url=url, connect_timeout=0.1)
        with pytest.raises(ServerGone):
            async with database.read() as session:
                await value(session, select(1))
        assert database.status().in_use == 0


async def test_a_statement_that_its_client_gave_up_on_is_ended_on_the_server(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    patient, database = (probe_database(), probe_database(transaction_timeout=1, statement_timeout=3600))
    async with patient.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
    with pytest.raises(TransactionTimeout):
        async with database.transaction() as session:
            await run(session, select(probes).with_for_update())
            await run(session, text(facts.LONG_QUERY))
    async with asyncio.timeout(10):
        while await facts.running(server, facts.LONG_QUERY[:40]):
            await asyncio.sleep(0.01)
    async with patient.transaction() as session:  # its locks went with it
        await run(session, select(probes).with_for_update())


async def test_what_cannot_be_ended_in_time_stands_in_the_way_of_nothing_else(probe_database: MakeDatabase) -> None:
    connector = probe_database(connect_timeout=3)._primary.pool._connector
    used: list[driver.RawConnection] = []

    async def gets_no_answer(raw: driver.RawConnection) -> None:
        used.append(raw)
        await driver.scalar(raw, facts.SLEEP.format(20))

    async def fails(raw: driver.RawConnection) -> None:
        used.append(raw)
        raise ServerGone

    async def is_answered(raw: driver.RawConnection) -> None:
        used.append(raw)

    async with asyncio.timeout(30):
        await asyncio.gather(*map(connector._end, (gets_no_answer, fails, is_answered)))
    assert [driver.is_closed(raw) for raw in used] == [True, True, True]
