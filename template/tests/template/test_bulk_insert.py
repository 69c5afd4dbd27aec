"""bulk_insert: any number of rows, stored as single INSERTs would store them, all of them or none."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    func,
    insert,
    null,
    select,
    text,
    update,
)

from app.database import (
    CheckViolation,
    Database,
    DatabaseError,
    ForeignKeyViolation,
    InvalidValue,
    NotNullViolation,
    ReadOnlySession,
    Retryable,
    ServerGone,
    Session,
    SessionClosed,
    UniqueViolation,
    UtcDateTime,
    driver,
)
from app.database.bulk import bulk_insert, bulk_update, upsert
from app.database.bulk import rows as bulk_rows
from app.database.bulk.rows import batches
from app.database.dbapi import URL
from tests import facts
from tests.probes import RICH, Probe, numbered, probe, probes
from tests.statements import rows, run, value

MakeDatabase = Callable[..., Database]

BATCH = 60
MAPPED: Any = Probe


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_rows, "BATCH", BATCH)


async def count(database: Database) -> int:
    async with database.read() as session:
        number: int = await value(session, select(func.count()).select_from(probes))
        return number


async def test_what_was_inserted_in_bulk_is_what_single_inserts_store(probe_database: MakeDatabase) -> None:
    at = datetime(2024, 12, 31, 23, 59, 59, 999999, timezone(timedelta(hours=5, minutes=30)))
    given = [probe(1, at=at, **RICH), probe(2, at=None, key=None, document=[1.5, "é"], amount=None, colour=None)]
    database = probe_database()
    async with database.transaction() as session:
        for row in given:
            await run(session, insert(probes).values(row))
        single = await rows(session, select(probes).order_by(probes.c.id))
        await run(session, probes.delete())
        assert await bulk_insert(session, probes, given) == 2
        assert await rows(session, select(probes).order_by(probes.c.id)) == single
    assert single[0][probes.c.keys().index("at")] == at


@pytest.mark.parametrize("text", ["🙂é'\"\\%s", "%", "\\N", "a\tb\nc\rd", "", "NULL", "$1 :name ?", "--"])
async def test_no_text_is_taken_for_anything_else(probe_database: MakeDatabase, text: str) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, probes, [probe(1, name=text, document={"text": text})])
        assert await rows(session, select(probes.c.name, probes.c.document)) == [(text, {"text": text})]


async def test_rows_come_from_generators_of_either_kind_and_from_an_empty_list(probe_database: MakeDatabase) -> None:
    async def asynchronous() -> AsyncIterator[dict[str, object]]:
        for id in range(BATCH + 1, 2 * BATCH + 2):
            await asyncio.sleep(0)
            yield probe(id)

    async with probe_database().transaction() as session:
        assert await bulk_insert(session, probes, []) == 0
        assert await bulk_insert(session, probes, (probe(id) for id in range(BATCH + 1))) == BATCH + 1
        assert await bulk_insert(session, probes, asynchronous()) == BATCH + 1
        assert await value(session, select(func.count()).select_from(probes)) == 2 * BATCH + 2


async def test_a_row_is_asked_for_only_when_those_before_it_are_sent(probe_database: MakeDatabase) -> None:
    asked, sent = 0, []

    def generated() -> Iterator[dict[str, object]]:
        nonlocal asked
        for asked in range(4 * BATCH):
            yield probe(asked)

    async with probe_database().transaction() as session:
        source = generated()

        async def watched() -> AsyncIterator[dict[str, object]]:
            for row in source:
                if row["id"] == 3 * BATCH:
                    sent.append(await value(session, select(func.count()).select_from(probes)))
                yield row

        await bulk_insert(session, probes, watched())
    assert sent == [3 * BATCH]


async def test_rows_of_a_mapped_class_have_the_names_of_its_attributes(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, Probe, [{"id": 1, "name": "one", "number": 7}])
        assert await rows(session, select(probes.c.name, probes.c.value, probes.c.made)) == [("one", 7, 7)]


async def test_defaults_of_python_are_added_and_those_of_the_server_left_to_it(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, probes, [probe(1), probe(2)])
        await bulk_insert(session, probes, [probe(3, made=None)])
        assert await rows(session, select(probes.c.made).order_by(probes.c.id)) == [(7,), (7,), (None,)]
        await bulk_insert(session, numbered, [{"code": "a"}, {"code": "b"}])
        first, second = [id for (id,) in await rows(session, select(numbered.c.id).order_by(numbered.c.code))]
        assert first < second


async def test_a_default_that_only_the_server_can_make_is_refused() -> None:
    table = Table("made", MetaData(), Column("id", String(1)), Column("at", String(20), default=func.now()))
    with pytest.raises(ValueError, match="give each row its at"):
        async for _ in batches(URL.get_dialect()(), table, [{"id": "1"}]):
            pass


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([probe(1), {"id": 2, "name": "two"}], "row 1 has no value: all rows"),
        ([probe(1), probe(2, made=1)], "row 1 has made too"),
        ([probe(1, nonsense=1)], "probes has no column nonsense"),
        ([{**probe(id), **({"made": 1} if id == BATCH + 7 else {})} for id in range(BATCH + 8)], f"row {BATCH + 7}"),
    ],
    ids=["missing", "more", "unknown", "later"],
)
async def test_a_row_of_another_shape_is_named_and_nothing_is_inserted(
    probe_database: MakeDatabase, given: list[dict[str, object]], message: str
) -> None:
    database = probe_database()
    async with database.transaction() as session:
        with pytest.raises(ValueError, match=message):
            await bulk_insert(session, probes, given)
    assert await count(database) == 0


FAULTS: dict[str, tuple[dict[str, object], type[Exception]]] = {
    "unique": ({"name": "probe 3"}, UniqueViolation),
    "key": ({"id": 3}, UniqueViolation),
    "foreign key": ({"parent_id": -1}, ForeignKeyViolation),
    "not null": ({"name": None}, NotNullViolation),
    "check": ({"value": 1_000_000}, CheckViolation),
    "too long": ({"name": "x" * 21}, InvalidValue),
    "out of range": ({"value": 2**31}, InvalidValue),
}


@pytest.mark.parametrize("place", [4, 30, BATCH - 1, BATCH, 2 * BATCH + 3])
@pytest.mark.parametrize("fault", FAULTS)
async def test_the_row_at_fault_is_named_and_the_transaction_can_go_on_without_any(
    probe_database: MakeDatabase, fault: str, place: int
) -> None:
    """Also when a later row is at fault too, and when the row before it is in an earlier batch."""
    changes, error = FAULTS[fault]
    given = [probe(id, parent_id=None) for id in range(2 * BATCH + 6)]
    given[place] |= changes
    given[-1] |= changes
    database = probe_database()
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(-7)))
        with pytest.raises(error) as caught:
            await bulk_insert(session, probes, given)
        assert isinstance(caught.value, UniqueViolation | ForeignKeyViolation | InvalidValue)
        assert caught.value.row == place
        assert await rows(session, select(probes.c.id)) == [(-7,)]
        await bulk_insert(session, probes, [probe(1)])
    assert await count(database) == 2


async def test_an_error_of_the_callers_own_rows_is_theirs_and_nothing_is_inserted(probe_database: MakeDatabase) -> None:
    def failing() -> Iterator[dict[str, object]]:
        yield from (probe(id) for id in range(BATCH + 2))
        raise FileNotFoundError("the file of the rows")

    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        with pytest.raises(FileNotFoundError):
            await bulk_insert(session, probes, failing())
        await bulk_insert(session, probes, [probe(1)])
    assert await count(database) == 1


class Even(TypeDecorator[int]):
    """A type of a team's, which refuses values."""

    impl, cache_ok = Integer, True

    def process_bind_param(self, value: int | None, dialect: object) -> int | None:
        if value is not None and value % 2:
            raise ArithmeticError("odd")
        return value


async def test_what_a_type_refuses_is_the_error_of_its_row(probe_database: MakeDatabase) -> None:
    names = (Column("id", BigInteger), Column("name", String), Column("at", UtcDateTime), Column("value", Even))
    table = Table("probes", MetaData(), *names)
    given: list[dict[str, Any]] = [
        {"id": id, "name": f"probe {id}", "at": None, "value": 2 * id} for id in range(BATCH + 3)
    ]
    database = probe_database()
    async with database.transaction() as session:
        odd = [*given[:-1], {**given[-1], "value": 7}]
        with pytest.raises(ArithmeticError) as team:
            await bulk_insert(session, table, odd)
        assert team.value.__notes__ == [f"of row {BATCH + 2}"]
        early = [*given[:-1], {**given[-1], "at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))}]
        with pytest.raises(InvalidValue) as ours:
            await bulk_insert(session, table, early)
        assert ours.value.row == BATCH + 2
        assert await bulk_insert(session, table, given) == len(given)
    assert await count(database) == len(given)


async def test_an_exception_in_the_unit_of_work_takes_the_bulk_with_it(probe_database: MakeDatabase) -> None:
    database = probe_database()
    with pytest.raises(LookupError):
        async with database.transaction() as session:
            await bulk_insert(session, probes, [probe(1)])
            raise LookupError
    assert await count(database) == 0


@pytest.mark.parametrize("function", ["insert", "update", "upsert"])
async def test_read_sessions_and_closed_ones_are_refused(probe_database: MakeDatabase, function: str) -> None:
    async def move(session: Session) -> object:
        if function == "insert":
            return await bulk_insert(session, probes, [probe(1)])
        if function == "update":
            return await bulk_update(session, probes, [probe(1)], key="id")
        return await upsert(session, probes, [probe(1)], conflict="id")

    database = probe_database(pool_size=1, max_overflow=0)
    async with database.read() as session:
        with pytest.raises(ReadOnlySession):
            await move(session)
        assert await value(session, select(func.count()).select_from(probes)) == 0
    async with database.transaction() as session:
        pass
    with pytest.raises(SessionClosed):
        await move(session)


async def test_a_session_that_the_server_lost_is_replaced(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    with pytest.raises(ServerGone):
        async with database.transaction() as session:
            await facts.kill(server, await value(session, text(facts.SESSION_ID)))
            await bulk_insert(session, probes, [probe(1)])
    async with database.transaction() as session:
        await bulk_insert(session, probes, [probe(1)])
    assert await count(database) == 1


async def test_cancels_at_any_moment_lose_no_connection_and_store_nothing(
    probe_database: MakeDatabase,
    server: driver.RawConnection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = probe_database(pool_size=3, max_overflow=0, pool_timeout=30)
    dice = random.Random(7)
    monkeypatch.undo()  # batches of the usual size, so that there is something to cancel
    given = [probe(id, document={"text": "x" * 300}) for id in range(bulk_rows.BATCH + 500)]

    async def work(kind: int) -> None:
        async with database.transaction() as session:
            if kind == 0:
                await bulk_insert(session, probes, given)
            elif kind == 1:
                await upsert(session, probes, given, conflict="id", update="value")
            else:
                await bulk_update(session, probes, given, key="id")
            raise AssertionError("it was not cancelled")  # so that nothing is ever committed

    async def cancelled(number: int) -> None:
        task = asyncio.create_task(work(number % 3))
        await asyncio.sleep(dice.random() * 0.15)
        task.cancel()
        (error,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(error, asyncio.CancelledError | AssertionError | Retryable), error  # they meet each other too

    for start in range(0, 42, 3):
        await asyncio.gather(*(cancelled(number) for number in range(start, start + 3)))
    assert (database.status().in_use, database.status().waiting) == (0, 0)
    assert await count(database) == 0
    async with asyncio.timeout(10):  # what was given up ends on the server too
        while await facts.open_transactions(server):
            await asyncio.sleep(0.01)
    async with database.transaction() as session:
        assert await bulk_insert(session, probes, [probe(1)]) == 1
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


async def test_a_cancel_that_is_caught_inside_the_unit_of_work_cannot_commit_a_half(
    probe_database: MakeDatabase,
) -> None:
    async def stuck() -> AsyncIterator[dict[str, Any]]:
        for id in range(BATCH + 1):
            yield probe(id)
        await asyncio.sleep(3600)

    database = probe_database(pool_size=1, max_overflow=0)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # which one is the access style's affair
        async with database.transaction() as session:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await bulk_insert(session, probes, stuck())
    assert not isinstance(caught.value, AssertionError)
    assert await count(database) == 0


async def test_rows_may_be_read_by_the_session_that_another_task_waits_for(probe_database: MakeDatabase) -> None:
    """Neither waits for what the other one has."""
    database = probe_database(pool_size=1, max_overflow=0)
    others: list[asyncio.Task[None]] = []

    async def made() -> AsyncIterator[dict[str, Any]]:
        for id in range(2):
            others.append(asyncio.create_task(run(session, insert(probes).values(probe(10 + id)))))
            await asyncio.sleep(0.01)
            await run(session, select(1))
            yield probe(id)

    async with asyncio.timeout(10), database.transaction() as session:
        assert await bulk_insert(session, probes, made()) == 2
        await asyncio.gather(*others)
    async with database.read() as session:
        assert await rows(session, select(probes.c.id).order_by(probes.c.id)) == [(0,), (1,), (10,), (11,)]


@pytest.mark.parametrize("fails", [False, True])
async def test_what_makes_the_rows_of_a_bulk_function_may_call_another(
    probe_database: MakeDatabase, fails: bool
) -> None:
    """All of it is undone together."""
    number = 2 * BATCH + 5

    async def changes(session: Session) -> AsyncIterator[dict[str, Any]]:
        for id in range(number):
            assert await bulk_update(session, probes, [{"id": number + id, "value": 9}], key="id") == 1
            yield {"id": id, "value": 8}
        if fails:
            raise LookupError

    async def parents(session: Session) -> AsyncIterator[dict[str, Any]]:
        for id in range(number):
            assert await bulk_insert(session, probes, [probe(id, value=1)]) == 1
            yield probe(number + id, value=1, parent_id=id)

    database = probe_database()
    total = func.sum(probes.c.value)
    async with database.transaction() as session:
        assert await bulk_insert(session, probes, parents(session)) == number
        with pytest.raises(LookupError) if fails else nullcontext():
            assert await bulk_update(session, probes, changes(session), key="id") == number
        assert await value(session, select(total)) == (2 if fails else 17) * number
    assert await count(database) == 2 * number


async def test_a_row_that_is_no_mapping_is_refused_with_what_is_one(probe_database: MakeDatabase) -> None:
    class Given(BaseModel):
        id: int

    async with probe_database().transaction() as session:
        for rows_of in ([Given(id=1)], [(1, "one")]):
            with pytest.raises(ValueError, match="a row is a mapping of names to values, not a "):
                await bulk_insert(session, probes, rows_of)  # type: ignore[arg-type]


@pytest.mark.parametrize("expression", [null(), func.lower("ABC"), text("now()"), probes.c.name, MAPPED.name])
async def test_an_expression_is_no_value_and_is_not_stored_as_its_own_text(
    probe_database: MakeDatabase, expression: Any
) -> None:
    database = probe_database()
    given = probe(1, name=expression)
    ways: list[Callable[[Session], Any]] = [
        lambda session: session.affected(insert(probes), given),
        lambda session: session.affected(update(probes), {"name": expression}),
        lambda session: bulk_insert(session, probes, [given]),
        lambda session: upsert(session, probes, [given], conflict="id", update="name"),
        lambda session: bulk_update(session, probes, [{"id": 1, "name": expression}], key="id"),
    ]
    for way in ways:
        with pytest.raises(DatabaseError):
            async with database.transaction() as session:
                await way(session)
    assert await count(database) == 0
