"""A session in several tasks, and one whose statement is still under way when its unit ends: nobody gets the answer of
another, nothing is committed by half, and the error is one of ours.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeAlias

import pytest
from sqlalchemy import TextClause, bindparam, func, insert, select, text

from app.database import (
    Database,
    DatabaseError,
    InvalidValue,
    OutcomeUnknown,
    PoolTimeout,
    ServerGone,
    Session,
    SessionClosed,
    StatementUnderWay,
    TransactionAborted,
    TransactionTimeout,
    UniqueViolation,
    driver,
)
from app.database.pool import Pool
from app.settings import Settings
from tests import facts
from tests.probes import probe, probes
from tests.proxy import Proxy
from tests.statements import run, value

MakeDatabase = Callable[..., Database]
Work = Callable[[Session], Awaitable[Any]]
Tasks: TypeAlias = list[asyncio.Task[Any]]

ONE: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 5}
KINDS = ("read", "transaction", "run_transaction", "read of a request", "write of a request")
WRITING = tuple(kind for kind in KINDS if "read" not in kind)
SECONDS = itertools.count(1000)
NUMBER = select(bindparam("number", type_=probes.c.value.type))

each_kind = pytest.mark.parametrize("kind", KINDS)
both_kinds = pytest.mark.parametrize("kind", ["read", "transaction"])


async def in_unit(database: Database, kind: str, work: Work) -> Any:
    if kind == "run_transaction":
        async with asyncio.timeout(15):
            return await database.run_transaction(work)
    units: dict[str, Callable[[], AbstractAsyncContextManager[Session]]] = {
        "read": database.read,
        "transaction": database.transaction,
        "read of a request": database.of_request,
        "write of a request": partial(database.of_request, writing=True),
    }
    async with asyncio.timeout(15), units[kind]() as session:  # against a hang
        return await work(session)


async def count(session: Session) -> int:
    number: int = await value(session, select(func.count()).select_from(probes))
    return number


async def one_more(session: Session, kind: str) -> None:
    """The first statement of the unit, one that must not be stored where it is one that could be."""
    await (run(session, insert(probes).values(probe(1))) if kind in WRITING else value(session, select(1)))


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    """Those that a test leaves behind: each ends by itself, with one of our errors."""
    left: Tasks = []
    yield left
    if left:
        _, pending = await asyncio.wait(left, timeout=5)
        for task in pending:
            task.cancel()
    for result in await asyncio.gather(*left, return_exceptions=True):
        assert isinstance(result, DatabaseError), repr(result)


class Sleep:
    """A statement so long that only being given up ends it."""

    def __init__(self, server: driver.RawConnection) -> None:
        self._server, self._seconds = server, str(next(SECONDS))
        self.query = text(facts.SLEEP.format(self._seconds))

    async def runs(self) -> None:
        async with asyncio.timeout(5):
            while not await facts.running(self._server, self._seconds):
                await asyncio.sleep(0.002)

    async def has_ended(self) -> None:
        # PostgreSQL looks once a second whether its client is there; MySQL never, except in SLEEP, every five.
        async with asyncio.timeout(3):
            while await facts.running(self._server, self._seconds):
                await asyncio.sleep(0.02)


@pytest.fixture
async def sleep(server: driver.RawConnection) -> Sleep:
    return Sleep(server)


async def nothing_is_left(
    database: Database, server: driver.RawConnection, session_id: int | None = None, reads: int = 5
) -> None:
    """Nothing is stored, and each of the next reads gets its own answer, on another connection."""
    await asyncio.sleep(0)  # for the tasks that were left behind
    for number in range(reads):
        async with database.read() as session:
            assert await session.fetch_val(NUMBER, {"number": number}) == number
    async with database.transaction() as session:
        assert await count(session) == 0
        assert await value(session, text(facts.SESSION_ID)) != session_id
    status = database.status()
    assert (status.in_use, status.waiting, status.open) == (0, 0, 1)
    async with asyncio.timeout(10):  # a server takes its time to undo many rows
        while await facts.open_transactions(server):
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("no_pooler")  # which goes on with a session that its client gave up
@pytest.mark.parametrize(("kind", "first"), [*((kind, False) for kind in KINDS), ("read", True), ("transaction", True)])
async def test_a_task_that_nobody_waited_for_ends_its_unit_with_an_error(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, tasks: Tasks, kind: str, first: bool
) -> None:
    database = probe_database(**ONE)
    session_id = None

    async def work(session: Session) -> None:
        nonlocal session_id
        if not first:
            await one_more(session, kind)
            session_id = await value(session, text(facts.SESSION_ID))
        tasks.append(asyncio.create_task(value(session, sleep.query)))
        await sleep.runs()

    with pytest.raises(StatementUnderWay):
        await in_unit(database, kind, work)
    await sleep.has_ended()
    await nothing_is_left(database, server, session_id, reads=100)


@each_kind
async def test_a_gather_of_which_one_part_failed_raises_that_error(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, tasks: Tasks, kind: str
) -> None:
    database = probe_database(**ONE)

    async def work(session: Session) -> None:
        async def fail() -> None:
            await sleep.runs()
            raise LookupError("first")

        await one_more(session, kind)
        tasks.extend(asyncio.create_task(value(session, query)) for query in (sleep.query, select(1)))
        await asyncio.gather(*tasks, fail())

    with pytest.raises(LookupError, match="first"):
        await in_unit(database, kind, work)
    await nothing_is_left(database, server)


@both_kinds
async def test_a_unit_that_is_cancelled_while_a_task_of_its_runs_a_statement_stores_nothing(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, tasks: Tasks, kind: str
) -> None:
    database = probe_database(**ONE)

    async def work(session: Session) -> None:
        await one_more(session, kind)
        tasks.append(asyncio.create_task(value(session, sleep.query)))
        await asyncio.shield(tasks[0])

    unit = asyncio.create_task(in_unit(database, kind, work))
    await sleep.runs()
    unit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await unit
    await nothing_is_left(database, server)


@both_kinds
async def test_the_limit_of_the_unit_holds_while_a_task_of_its_runs_a_statement(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, tasks: Tasks, kind: str
) -> None:
    database = probe_database(**ONE, transaction_timeout=0.3)

    async def work(session: Session) -> None:
        await one_more(session, kind)
        tasks.append(asyncio.create_task(value(session, sleep.query)))
        await asyncio.shield(tasks[0])

    with pytest.raises(TransactionTimeout):
        await in_unit(database, kind, work)
    await nothing_is_left(database, server)


@pytest.mark.parametrize("kind", ["transaction", "write of a request"])
async def test_bulk_beside_a_statement_that_failed_stores_nothing(
    probe_database: MakeDatabase, server: driver.RawConnection, kind: str
) -> None:
    bulk = pytest.importorskip("app.database.bulk", reason="it was deleted: docs/bulk.md")
    database = probe_database(**ONE)

    async def work(session: Session) -> None:
        await run(session, insert(probes).values(probe(0)))
        filling = bulk.bulk_insert(session, probes, map(probe, range(1, 20_000)))
        await asyncio.gather(filling, run(session, insert(probes).values(probe(0))))

    with pytest.raises(DatabaseError):
        await in_unit(database, kind, work)
    await nothing_is_left(database, server)


@pytest.mark.parametrize("kind", ["transaction", "write of a request"])
async def test_bulk_that_nobody_waited_for_stores_nothing_also_between_its_statements(
    probe_database: MakeDatabase, server: driver.RawConnection, tasks: Tasks, kind: str
) -> None:
    bulk = pytest.importorskip("app.database.bulk", reason="it was deleted: docs/bulk.md")
    database = probe_database(**ONE)
    waits, go_on = asyncio.Event(), asyncio.Event()

    async def given() -> AsyncIterator[dict[str, object]]:
        for id in range(20_000):  # several batches
            yield probe(id)
        waits.set()
        await go_on.wait()

    async def work(session: Session) -> None:
        tasks.append(asyncio.create_task(bulk.bulk_insert(session, probes, given())))
        await waits.wait()

    with pytest.raises(StatementUnderWay):
        await in_unit(database, kind, work)
    go_on.set()
    await nothing_is_left(database, server)


async def test_bulk_is_one_whole_to_the_statements_of_other_tasks(probe_database: MakeDatabase) -> None:
    """What it undoes is its own, and what others were told is done stays."""
    bulk = pytest.importorskip("app.database.bulk", reason="it was deleted: docs/bulk.md")
    database = probe_database(**ONE)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
        results: Any = await asyncio.gather(
            bulk.bulk_insert(session, probes, [probe(2), probe(1)]),
            bulk.bulk_insert(session, probes, [probe(id) for id in (10, 11, 12)]),
            session.affected(insert(probes).values(probe(20))),
            bulk.bulk_update(session, probes, [{"id": 1, "value": 5}, {"id": 1, "value": 6}], key="id"),
            bulk.upsert(session, probes, [probe(30), probe(30)], conflict="id", update="value"),
            return_exceptions=True,
        )
    failed, done, affected, updated, upserted = results
    assert isinstance(failed, UniqueViolation)
    assert isinstance(updated, InvalidValue)
    assert (done, affected, upserted.inserted) == (3, 1, 1)
    async with database.read() as session:
        ids = await session.fetch_all(select(probes.c.id).order_by(probes.c.id))
    assert [record.id for record in ids] == [1, 10, 11, 12, 20, 30]


async def test_a_read_session_that_ends_beside_a_transaction_takes_its_statement_with_it(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, tasks: Tasks
) -> None:
    """Its statement is under way in the transaction, which thus is lost."""
    database = probe_database(**ONE)
    with pytest.raises(TransactionAborted):
        async with database.of_request(writing=True) as writing:
            await run(writing, insert(probes).values(probe(1)))
            with pytest.raises(StatementUnderWay):
                async with database.of_request(writing=False) as reading:
                    tasks.append(asyncio.create_task(value(reading, sleep.query)))
                    await sleep.runs()
            await asyncio.wait(tasks)
            with pytest.raises(TransactionAborted):
                await run(writing, insert(probes).values(probe(2)))
    await nothing_is_left(database, server)


async def test_a_commit_meets_no_statement_of_the_read_session_beside_it(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, tasks: Tasks
) -> None:
    database = probe_database(**ONE)
    async with database.of_request(writing=False) as reading:
        with pytest.raises(StatementUnderWay):
            async with database.of_request(writing=True) as writing:
                await run(writing, insert(probes).values(probe(1)))
                tasks.append(asyncio.create_task(value(reading, sleep.query)))
                await sleep.runs()
        assert await count(reading) == 0  # on another connection
    await nothing_is_left(database, server)


async def test_a_hundred_commits_with_statements_that_begin_at_any_moment_tell_the_truth(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(**ONE)
    stored = 0
    for number in range(100):
        try:
            async with database.transaction() as session:
                await run(session, insert(probes).values(probe(number)))
                left = [asyncio.create_task(value(session, select(1))) for _ in range(number % 3)]
                for _ in range(number // 3):
                    await asyncio.sleep(0)
            stored += 1
        except StatementUnderWay:
            pass
        for result in await asyncio.gather(*left, return_exceptions=True):
            assert result == 1 or isinstance(result, DatabaseError), repr(result)
    assert await driver.scalar(server, "SELECT count(*) FROM probes") == stored
    assert 33 < stored < 100
    assert database.status().in_use == 0


async def _timed(work: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.wait_for(work, 20)


async def _shielded(work: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.shield(work)


async def _in_a_task(work: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.create_task(work)


async def _in_a_group(work: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.TaskGroup() as group:
        return await group.create_task(work)


async def _gathered(work: Coroutine[Any, Any, Any]) -> Any:
    return (await asyncio.gather(work, asyncio.sleep(0)))[0]


WAYS = (_timed, _shielded, _in_a_task, _in_a_group, _gathered)


@each_kind
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
async def test_a_session_works_in_a_task_of_its_unit(
    probe_database: MakeDatabase, kind: str, way: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]], first: bool
) -> None:
    """Also when it, or its database, is used there first."""
    database = probe_database(**ONE)

    async def work(session: Session) -> list[int]:
        numbers = [] if first else [await count(session)]
        numbers.append(await way(count(session)))
        if kind in WRITING:
            await way(run(session, insert(probes).values(probe(1))))
        return [*numbers, await way(count(session)), await count(session)]

    expected = [0, 1, 1] if kind in WRITING else [0, 0, 0]
    assert await in_unit(database, kind, work) == (expected if first else [0, *expected])
    assert (database.status().in_use, database.status().open) == (0, 1)


@both_kinds
async def test_many_tasks_of_one_session_run_one_statement_at_a_time(probe_database: MakeDatabase, kind: str) -> None:
    database = probe_database(**ONE)

    async def work(session: Session) -> list[int]:
        asked = [session.fetch_val(NUMBER, {"number": number}) for number in range(50)]
        if kind in WRITING:
            asked += [run(session, insert(probes).values(probe(id))) for id in range(10)]
        return (await asyncio.gather(*asked))[:50]

    assert await in_unit(database, kind, work) == list(range(50))
    async with database.read() as session:
        assert await count(session) == (10 if kind in WRITING else 0)
    assert (database.status().in_use, database.status().open) == (0, 1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in WRITING])
async def test_a_read_session_is_of_use_after_a_limit_inside_it(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, kind: str
) -> None:
    database = probe_database(**ONE)

    async def work(session: Session) -> list[int]:
        before = await count(session)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(value(session, sleep.query), 0.1)
        return [before, await count(session)]

    assert await in_unit(database, kind, work) == [0, 0]
    await nothing_is_left(database, server)


@pytest.mark.parametrize("kind", ["transaction", "write of a request"])
async def test_a_transaction_is_lost_after_a_limit_inside_it(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, kind: str
) -> None:
    database = probe_database(**ONE)
    told: list[BaseException] = []

    async def work(session: Session) -> None:
        await run(session, insert(probes).values(probe(1)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(value(session, sleep.query), 0.1)
        try:
            await run(session, insert(probes).values(probe(2)))
        except TransactionAborted as error:
            told.append(error)

    with pytest.raises(TransactionAborted):
        await in_unit(database, kind, work)
    assert told
    await nothing_is_left(database, server)


@pytest.mark.parametrize("kind", ["transaction", "write of a request"])
async def test_a_statement_in_finally_after_a_cancellation_hides_nothing_and_stores_nothing(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, kind: str
) -> None:
    database = probe_database(**ONE)

    async def work(session: Session) -> None:
        await run(session, insert(probes).values(probe(1)))
        try:
            await value(session, sleep.query)
        finally:
            await run(session, insert(probes).values(probe(2)))

    unit = asyncio.create_task(in_unit(database, kind, work))
    await sleep.runs()
    unit.cancel()
    with pytest.raises((asyncio.CancelledError, TransactionAborted)):
        await unit
    await nothing_is_left(database, server)


async def test_the_limit_is_what_is_seen_although_a_statement_in_finally_failed(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep
) -> None:
    database = probe_database(**ONE, transaction_timeout=0.2)
    with pytest.raises(TransactionTimeout):
        async with database.transaction() as session:
            try:
                await value(session, sleep.query)
            finally:
                await run(session, insert(probes).values(probe(2)))
    await nothing_is_left(database, server)


@both_kinds
@pytest.mark.parametrize("used", [True, False], ids=["used", "never used"])
@pytest.mark.parametrize("end", ["returns", "fails", "cancelled"])
async def test_a_unit_that_ends_while_its_task_waits_for_a_place_loses_none(
    probe_database: MakeDatabase, server: driver.RawConnection, tasks: Tasks, kind: str, used: bool, end: str
) -> None:
    database = probe_database(**ONE)
    if used:
        async with database.read() as session:
            await value(session, select(1))
    leave = asyncio.Event()

    async def keep_the_place() -> None:
        connection = await database._primary.pool.acquire()
        await leave.wait()
        database._primary.pool.release(connection)

    async def work(session: Session) -> None:
        tasks.append(asyncio.create_task(count(session)))
        tasks.append(asyncio.create_task(count(session)))
        while not database.status().waiting:
            await asyncio.sleep(0)
        if end == "fails":
            raise LookupError
        if end == "cancelled":
            unit.cancel()
            await asyncio.sleep(10)

    keeping = asyncio.create_task(keep_the_place())
    await asyncio.sleep(0)
    unit = asyncio.create_task(in_unit(database, kind, work))
    expected = {"returns": StatementUnderWay, "fails": LookupError, "cancelled": asyncio.CancelledError}[end]
    async with asyncio.timeout(2):  # at once: not when the place comes
        with pytest.raises(expected):
            await unit
    leave.set()
    await keeping
    await nothing_is_left(database, server)


@both_kinds
async def test_a_statement_that_is_cancelled_while_it_waits_for_a_place_loses_nothing(
    probe_database: MakeDatabase, server: driver.RawConnection, kind: str
) -> None:
    """Nothing was begun, so the unit goes on."""
    database = probe_database(**ONE)

    async def work(session: Session) -> int:
        asking = asyncio.create_task(count(session))
        while not database.status().waiting:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert database.status().waiting == 0
        database._primary.pool.release(connection)
        return await count(session)

    connection = await database._primary.pool.acquire()
    assert await in_unit(database, kind, work) == 0
    await nothing_is_left(database, server)


@both_kinds
@pytest.mark.parametrize("end", ["returns", "fails", "cancelled"])
async def test_a_unit_that_ends_while_its_task_begins_the_transaction_hands_on_no_reply(
    probe_database: MakeDatabase,
    server: driver.RawConnection,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tasks: Tasks,
    kind: str,
    end: str,
) -> None:
    """The first statement of a database that was never used, as the server takes long to answer BEGIN."""
    proxy = Proxy(settings.database.url)
    connected, acquire = asyncio.Event(), Pool.acquire

    async def acquire_and_fall_silent(pool: Pool) -> Any:
        connection = await acquire(pool)
        if not connected.is_set():
            proxy.fall_silent()
            asyncio.get_running_loop().call_soon(connected.set)
        return connection

    monkeypatch.setattr(Pool, "acquire", acquire_and_fall_silent)
    async with proxy.listen() as url:
        database = probe_database(**ONE, url=url)

        async def work(session: Session) -> None:
            tasks.append(asyncio.create_task(count(session)))
            await connected.wait()
            asyncio.get_running_loop().call_later(0.05, proxy.speak_again)
            if end == "fails":
                raise LookupError
            if end == "cancelled":
                unit.cancel()
                await asyncio.sleep(10)

        unit = asyncio.create_task(in_unit(database, kind, work))
        expected = {"returns": StatementUnderWay, "fails": LookupError, "cancelled": asyncio.CancelledError}[end]
        with pytest.raises(expected):
            await unit
        await nothing_is_left(database, server)
        await database.close()


async def test_a_commit_that_gets_no_answer_ends_at_the_limit_and_keeps_no_place(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(**ONE, url=url, transaction_timeout=0.3)
        with pytest.raises(OutcomeUnknown):
            async with database.transaction() as session:
                await run(session, insert(probes).values(probe(1)))
                proxy.fall_silent()
        proxy.speak_again()
        assert database.status().in_use == 0
        async with database.read() as session:
            assert await session.fetch_val(NUMBER, {"number": 5}) == 5
        await database.close()


async def test_the_first_error_is_seen_although_the_rollback_gets_no_answer_before_the_limit(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(**ONE, url=url, transaction_timeout=0.3)
        with pytest.raises(LookupError, match="first"):
            async with database.transaction() as session:
                await run(session, insert(probes).values(probe(1)))
                proxy.fall_silent()
                raise LookupError("first")
        proxy.speak_again()
        assert database.status().in_use == 0
        await database.close()


async def test_a_generator_that_another_task_goes_on_with_and_closes_keeps_nothing(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(**ONE)

    async def numbers(kind: str) -> AsyncIterator[int]:
        async with getattr(database, kind)() as session:
            for number in range(10):
                yield await session.fetch_val(NUMBER, {"number": number})

    for kind in ("read", "transaction"):
        generator: Any = numbers(kind)
        seen = [await asyncio.create_task(generator.__anext__()) for _ in range(2)]
        await asyncio.create_task(generator.aclose())
        assert seen == [0, 1]
        await nothing_is_left(database, server)


@both_kinds
async def test_a_session_is_refused_after_its_unit_in_any_task(
    probe_database: MakeDatabase, tasks: Tasks, kind: str
) -> None:
    database = probe_database(**ONE)
    go_on = asyncio.Event()

    async def later(session: Session) -> None:
        await go_on.wait()
        with pytest.raises(SessionClosed):
            await count(session)
        with pytest.raises(SessionClosed):
            await session.execute(select(1))
        raise SessionClosed

    async def work(session: Session) -> None:
        tasks.append(asyncio.create_task(later(session)))
        await count(session)

    await in_unit(database, kind, work)
    go_on.set()
    await asyncio.wait(tasks)
    assert database.status().in_use == 0


async def test_a_task_with_a_unit_of_its_own_inside_a_transaction_is_told_in_time_that_there_is_no_place(
    probe_database: MakeDatabase,
) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_timeout=1)

    async def another() -> None:
        async with database.read() as session:
            await count(session)

    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
        with pytest.raises(PoolTimeout):
            await asyncio.create_task(another())
        assert await count(session) == 1
    assert database.status().in_use == 0


@pytest.mark.parametrize("with_text", [text("SELECT 1"), select(1)], ids=["text", "select"])
async def test_a_brief_session_keeps_nothing_for_a_task_that_outlives_it(
    probe_database: MakeDatabase, server: driver.RawConnection, sleep: Sleep, tasks: Tasks, with_text: TextClause
) -> None:
    """The session of a WebSocket, which gives its connection back after each statement."""
    database = probe_database(**ONE)
    with pytest.raises(StatementUnderWay):
        async with database.of_request(writing=False, brief=True) as session:
            assert await value(session, with_text) == 1
            assert database.status().in_use == 0
            tasks.append(asyncio.create_task(value(session, sleep.query)))
            tasks.append(asyncio.create_task(value(session, with_text)))
            await sleep.runs()
    await nothing_is_left(database, server)


async def test_a_brief_session_beside_a_transaction_has_no_limit_between_its_statements(
    probe_database: MakeDatabase,
) -> None:
    database = probe_database(**ONE, transaction_timeout=1.5)
    async with database.of_request(brief=True) as session:
        async with database.transaction() as inner:
            assert await value(session, select(1)) == 1  # before the transaction has begun
            await run(inner, insert(probes).values(probe(1)))
        await asyncio.sleep(2)  # for the next message, without a connection
        assert await count(session) == 1


async def test_a_database_that_is_closed_under_a_stream_is_a_lost_server(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(**ONE)
    with pytest.raises(ServerGone):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            await session._run(select(probes), None, driver.stream)
            await database.close()
    assert await driver.scalar(server, "SELECT count(*) FROM probes") == 0


@pytest.mark.usefixtures("no_pooler")  # which goes on by another of its connections
async def test_what_a_lost_connection_is_asked_before_a_statement_is_a_lost_server(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    """As the first of all connections is asked what kind of server this is."""
    database = probe_database(**ONE)

    async def look(raw: driver.RawConnection) -> None:
        await facts.kill(server, await driver.scalar(raw, facts.SESSION_ID))
        await driver.scalar(raw, facts.SESSION_ID)

    async with database.read() as session:
        with pytest.raises(ServerGone):
            await session._unit.connect(look)
        assert await count(session) == 0
    assert database.status().in_use == 0
