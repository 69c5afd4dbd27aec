"""SQLAlchemy's own methods of a session in several tasks, and under way when its unit ends: as tests/test_under_way.py
says of those that both access styles have.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.util import await_only

from app.database import (
    DatabaseError,
    OutcomeUnknown,
    ReadOnlySession,
    Session,
    SessionClosed,
    StatementRefused,
    StatementUnderWay,
    TransactionAborted,
    UniqueViolation,
    driver,
)
from app.settings import Settings
from tests.probes import probe, probes
from tests.proxy import Proxy
from tests.template.test_under_way import ONE, WAYS, MakeDatabase, Sleep, Tasks, in_unit, nothing_is_left
from tests.template.test_under_way import sleep as sleep
from tests.template.test_under_way import tasks as tasks

both_kinds = pytest.mark.parametrize("kind", ["read", "transaction"])
Use = Callable[[Session], Awaitable[Any]]


class Base(DeclarativeBase):
    metadata = probes.metadata


class Probe(Base):
    __table__ = probes


async def executed(session: Session) -> Any:
    return (await session.execute(select(func.count()).select_from(Probe))).scalar_one()


async def got(session: Session) -> Any:
    return 0 if await session.get(Probe, 77) is None else 1


async def scalars(session: Session) -> Any:
    return len((await session.scalars(select(Probe))).all())


async def streamed(session: Session) -> Any:
    if not session._unit.writes:
        return 0  # a cursor needs a transaction
    return len([row async for row in await session.stream(select(Probe))])


async def in_savepoint(session: Session) -> Any:
    if not session._unit.writes:
        return 0
    async with session.begin_nested():
        return await executed(session)


async def in_greenlet(session: Session) -> Any:
    return await session.run_sync(lambda sync: sync.query(Probe).count())


READING: tuple[Use, ...] = (executed, got, scalars, streamed, in_savepoint, in_greenlet)


async def executed_slowly(session: Session, sleep: Sleep) -> Any:
    return await session.execute(sleep.query)


async def streamed_slowly(session: Session, sleep: Sleep) -> Any:
    return [row async for row in await session.stream(sleep.query)]


async def savepoint_slowly(session: Session, sleep: Sleep) -> Any:
    async with session.begin_nested():
        return await session.execute(sleep.query)


async def greenlet_slowly(session: Session, sleep: Sleep) -> Any:
    return await session.run_sync(lambda sync: sync.execute(sleep.query))


async def flushed_slowly(session: Session, sleep: Sleep) -> Any:
    session.add(Probe(**probe(1)))
    await session.flush()
    return await session.execute(sleep.query)


async def committed_slowly(session: Session, sleep: Sleep) -> Any:
    """SQLAlchemy's session is in the middle of its own commit()."""
    session.add(Probe(**probe(1)))
    event.listen(session.sync_session, "before_commit", lambda sync: sync.execute(sleep.query))
    return await session.commit()


SLOW = (executed_slowly, streamed_slowly, savepoint_slowly, greenlet_slowly, flushed_slowly, committed_slowly)


CASES = [
    *(("transaction", slow, "returns") for slow in SLOW),
    *(("transaction", slow, "fails") for slow in (savepoint_slowly, committed_slowly)),
    *(("read", slow, "returns") for slow in (executed_slowly, greenlet_slowly)),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["read", "transaction"])
async def test_each_method_works_in_a_task_of_its_unit_also_first(
    probe_database: MakeDatabase, kind: str, way: Callable[..., Awaitable[Any]]
) -> None:
    for use in READING:  # each first in a database that was never used
        database = probe_database(**ONE)

        async def work(session: Session, use: Use = use) -> list[int]:
            return [await way(use(session)) for use in (use, *READING)] + [await use(session) for use in READING]

        assert await in_unit(database, kind, work) == [0] * (1 + 2 * len(READING)), use
        assert (database.status().in_use, database.status().open) == (0, 1)


@both_kinds
async def test_many_tasks_of_one_session_take_turns(probe_database: MakeDatabase, kind: str) -> None:
    database = probe_database(**ONE)

    uses = [use for use in READING if use is not in_savepoint]  # which may not overlap

    async def work(session: Session) -> list[Any]:
        return await asyncio.gather(*(use(session) for use in uses * 5), return_exceptions=True)

    for answer in await in_unit(database, kind, work):
        assert answer == 0 or isinstance(answer, DatabaseError), repr(answer)
    assert (database.status().in_use, database.status().waiting) == (0, 0)


@pytest.mark.parametrize(("kind", "slow", "end"), CASES)
async def test_a_task_that_nobody_waited_for_ends_its_unit_with_an_error(
    probe_database: MakeDatabase,
    server: driver.RawConnection,
    sleep: Sleep,
    tasks: Tasks,
    kind: str,
    slow: Callable[[Session, Sleep], Awaitable[Any]],
    end: str,
) -> None:
    database = probe_database(**ONE)

    async def work(session: Session) -> None:
        await executed(session)
        tasks.append(asyncio.ensure_future(slow(session, sleep)))
        await sleep.runs()
        tasks.append(asyncio.ensure_future(executed(session)))
        await asyncio.sleep(0)
        if end == "fails":
            raise LookupError

    with pytest.raises(StatementUnderWay if end == "returns" else LookupError):
        await in_unit(database, kind, work)
    await nothing_is_left(database, server)


@pytest.mark.parametrize("use", READING)
async def test_a_read_session_is_of_use_after_a_limit_inside_it(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, use: Use
) -> None:
    database = probe_database(**ONE)

    async def work(session: Session) -> list[int]:
        before = await use(session)
        for slow in (executed_slowly, greenlet_slowly):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(slow(session, sleep), 0.1)
        return [before, await use(session), await use(session)]

    assert await in_unit(database, "read", work) == [0, 0, 0]
    await nothing_is_left(database, server)


@pytest.mark.parametrize("slow", SLOW)
async def test_a_transaction_is_lost_after_a_limit_inside_it(
    probe_database: MakeDatabase,
    server: driver.RawConnection,
    sleep: Sleep,
    slow: Callable[[Session, Sleep], Awaitable[Any]],
) -> None:
    database = probe_database(**ONE)

    async def work(session: Session) -> None:
        await session.execute(insert(probes).values(probe(50)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(session, sleep), 0.1)
        for use in READING:
            with pytest.raises(TransactionAborted):
                await use(session)

    with pytest.raises(TransactionAborted):
        await in_unit(database, "transaction", work)
    await nothing_is_left(database, server)


async def test_a_savepoint_whose_flush_failed_ends_with_our_error(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(**ONE)
    async with database.transaction() as session:
        session.add(Probe(**probe(1)))
        async with session.begin_nested():
            session.add(Probe(**probe(2, name="probe 1")))
            with pytest.raises(UniqueViolation):
                await session.flush()
            with pytest.raises(DatabaseError):
                await executed(session)
    assert await driver.scalar(server, "SELECT count(*) FROM probes") == 1
    async with database.transaction() as session:
        with pytest.raises(UniqueViolation):
            async with session.begin_nested():
                session.add(Probe(**probe(3, name="probe 1")))
        assert await executed(session) == 1


@pytest.mark.parametrize("use", READING)
async def test_a_session_is_closed_for_each_method_after_its_unit(probe_database: MakeDatabase, use: Use) -> None:
    database = probe_database(**ONE)
    async with database.transaction() as session:
        await use(session)
    with pytest.raises(SessionClosed):
        await use(session)
    with pytest.raises(SessionClosed):
        await asyncio.wait_for(use(session), 1)
    assert database.status().in_use == 0


async def test_a_read_session_with_something_to_store_says_so(probe_database: MakeDatabase) -> None:
    database = probe_database(**ONE)
    with pytest.raises(ReadOnlySession):
        async with database.read() as session:
            session.add(Probe(**probe(1)))
    with pytest.raises(ReadOnlySession):
        async with database.read() as session:
            await session.execute(text("DELETE FROM probes"))
    assert database.status().in_use == 0


async def test_a_transaction_of_the_sessions_own_without_a_statement_sends_nothing(
    probe_database: MakeDatabase,
) -> None:
    database = probe_database(**ONE)
    async with database.transaction() as session, session.begin():
        pass
    assert database.status().open == 0
    async with database.transaction() as session:
        await session.commit()
        await session.rollback()
    assert database.status().open == 0


@both_kinds
async def test_an_operation_that_waits_for_something_else_ends_its_unit_with_an_error(
    probe_database: MakeDatabase, server: driver.RawConnection, kind: str
) -> None:
    database = probe_database(**ONE)
    begun, goes_on = asyncio.Event(), asyncio.Event()
    operations: list[asyncio.Task[None]] = []

    def waits(sync_session: object) -> None:
        begun.set()
        await_only(goes_on.wait())

    async def work(session: Session) -> None:
        operations.append(asyncio.create_task(session.run_sync(waits)))
        await begun.wait()

    with pytest.raises(StatementUnderWay):
        await in_unit(database, kind, work)
    goes_on.set()
    await asyncio.gather(*operations)
    await nothing_is_left(database, server)


async def closes(session: Session) -> None:
    await session.close()


async def leaves(session: Session) -> None:
    async with session:
        await session.execute(insert(probes).values(probe(2)))


@pytest.mark.parametrize(("ends", "stored"), [(closes, None), (leaves, 2)])
async def test_a_session_that_a_route_ends_itself_loses_nothing_without_a_word(
    probe_database: MakeDatabase, ends: Use, stored: int | None
) -> None:
    database = probe_database()
    with pytest.raises(StatementRefused) if stored is None else nullcontext():
        async with database.transaction() as session:
            await session.execute(insert(probes).values(probe(1)))
            await ends(session)
    async with database.read() as session:
        assert await session.fetch_val(select(func.max(probes.c.id))) == stored


async def test_a_commit_without_an_answer_is_an_unknown_outcome_whatever_becomes_of_the_cancellation(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(**ONE, url=url, transaction_timeout=2)
        with pytest.raises(OutcomeUnknown):
            async with database.transaction() as session:
                await session.execute(insert(probes).values(probe(1)))
                proxy.fall_silent()
                try:
                    await session.commit()
                except asyncio.CancelledError:
                    raise LookupError from None
        proxy.speak_again()
        await database.close()
