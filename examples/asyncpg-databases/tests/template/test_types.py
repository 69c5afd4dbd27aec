"""Values come back as they were given, on every server and in both access styles."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import (
    ColumnElement,
    Interval,
    bindparam,
    case,
    func,
    insert,
    literal,
    null,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import CompileError

from app.database import Database, UtcDateTime, driver
from tests.probes import RICH, probe, probes
from tests.statements import rows, run, value

MakeDatabase = Callable[..., Database]


@pytest.mark.parametrize(
    "instant",
    [
        datetime(2024, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(2024, 7, 1, 12, 0, 0, 1, timezone(timedelta(hours=5, minutes=30))),
        datetime(1970, 1, 1, tzinfo=UTC),
    ],
    ids=str,
)
async def test_an_instant_comes_back_in_utc_to_the_microsecond(probe_database: MakeDatabase, instant: datetime) -> None:
    database = probe_database()
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1, at=instant)))
    async with database.read() as session:
        stored = await value(session, select(probes.c.at))
        assert stored == instant
        assert stored.tzinfo is UTC or stored.utcoffset() == timedelta(0)
        assert await value(session, select(probes.c.id).where(probes.c.at == instant)) == 1


@pytest.mark.parametrize(
    "instant",
    [
        datetime(2024, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(2024, 7, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(1001, 1, 1, tzinfo=UTC),
    ],
    ids=str,
)
async def test_an_instant_in_the_text_of_a_statement_is_the_one_that_is_sent(
    probe_database: MakeDatabase, instant: datetime
) -> None:
    written = literal(instant, UtcDateTime(), literal_execute=True)
    async with probe_database().transaction() as session:
        await run(session, insert(probes).values(probe(1, at=instant)))
        await run(session, insert(probes).values(probe(2) | {"at": written}))
        assert [row for (row,) in await rows(session, select(probes.c.at))] == [instant, instant]
        assert await value(session, select(func.count()).where(probes.c.at == written)) == 2
        assert await value(session, select(written)) == instant
        with pytest.raises(CompileError) as caught:
            await value(session, select(literal(instant.replace(tzinfo=None), UtcDateTime(), literal_execute=True)))
        assert "names no instant" in str(caught.value.__cause__)


AT, EARLIER = (datetime(2024, 2, 29, 12, 0, 0, 1, UTC), datetime(2024, 2, 28, 1, 2, 3, 4, UTC))
BY = timedelta(days=1, hours=13, microseconds=5)
THERE = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
at, other = probes.c.at, probes.alias("other")
EXPRESSIONS: dict[str, tuple[Any, Any]] = {
    "later": (at + BY, AT + BY),
    "earlier": (at - BY, AT - BY),
    "later by less than nothing": (at + -BY, AT - BY),
    "earlier by less than nothing": (at - -BY, AT + BY),
    "the other way around": (BY + at, AT + BY),
    "by an expression": (at + literal(BY), AT + BY),
    "by what the server makes of it": (at - func.coalesce(literal(BY), literal(BY)), AT - BY),
    "by a difference": (at + (at - other.c.at), AT + (AT - EARLIER)),
    "twice": (at + BY - timedelta(hours=1), AT + BY - timedelta(hours=1)),
    "the difference of columns": (at - other.c.at, AT - EARLIER),
    "a negative difference": (other.c.at - at, EARLIER - AT),
    "the difference from a value": (at - EARLIER, AT - EARLIER),
    "the difference of a value": (EARLIER - at, EARLIER - AT),
    "the difference of what is later": ((at + BY) - (other.c.at - BY), AT - EARLIER + 2 * BY),
    "no difference": (at - THERE, timedelta(0)),
    "a difference compared": ((at - other.c.at) > timedelta(hours=1), True),
    "a difference compared with a longer time": ((at - other.c.at) > BY, False),
    "a difference compared with an expression": (
        (at - other.c.at) > type_coerce(func.coalesce(literal(BY), literal(BY)), Interval()),
        False,
    ),
    "the sum of differences": (func.sum(at - other.c.at), AT - EARLIER),
    "the longest difference": (func.max(at - other.c.at), AT - EARLIER),
    "coalesce of a difference": (func.coalesce(at - other.c.at, BY), AT - EARLIER),
    "a difference and a duration": ((at - other.c.at) + BY, AT - EARLIER + BY),
    "a difference less an expression": ((at - other.c.at) - func.coalesce(literal(BY), literal(BY)), AT - EARLIER - BY),
    "a duration and a difference": (BY + (at - other.c.at), AT - EARLIER + BY),
    "two differences": ((at - other.c.at) + (at - other.c.at), 2 * (AT - EARLIER)),
    "a difference and an instant": ((at - other.c.at) + other.c.at, AT),
    "compared with a value": (at == THERE, True),
    "later, compared": (at + BY > THERE + BY - timedelta(microseconds=1), True),
    "later, compared with a column": (other.c.at + BY < at, False),
    "between": (at.between(EARLIER, THERE), True),
    "one of": (at.in_([EARLIER, THERE]), True),
    "before now": (at + BY < func.now(), True),
    "now": (func.now() > at, True),
    "since now": ((type_coerce(func.now(), UtcDateTime()) - at) > BY, True),
    "until now": ((at - func.now()) < BY, True),
    "coalesce": (func.coalesce(at, EARLIER), AT),
    "coalesce of what is later": (func.coalesce(at + BY, EARLIER), AT + BY),
    "CASE": (case((probes.c.id == 1, at), else_=EARLIER), AT),
    "CASE of what is later": (case((probes.c.id == 7, at), else_=at + BY), AT + BY),
    "a difference from nothing": (at - type_coerce(null(), UtcDateTime()), None),
    "an aggregate": (func.max(at + BY), AT + BY),
}


@pytest.mark.parametrize(("expression", "expected"), EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
async def test_the_server_reckons_with_instants_as_python_does(
    probe_database: MakeDatabase, expression: ColumnElement[Any], expected: Any
) -> None:
    database = probe_database()
    async with database.transaction() as session:
        await run(session, insert(probes).values([probe(1, at=AT), probe(2, at=EARLIER)]))
    async with database.read() as session:
        joined = select(expression).join_from(probes, other, other.c.id == 2).where(probes.c.id == 1)
        found = await value(session, joined)
        assert found == expected
        assert not isinstance(found, datetime) or found.utcoffset() == timedelta(0)


async def test_a_duration_may_come_by_name(probe_database: MakeDatabase) -> None:
    query = select(at - bindparam("by", type_=Interval()))
    async with probe_database().transaction() as session:
        await run(session, insert(probes).values(probe(1, at=AT)))
        for by in (BY, -BY):
            assert await session.fetch_val(query, {"by": by}) == AT - by


@pytest.mark.parametrize("given", [datetime(2024, 1, 1), date(2024, 1, 1)], ids=repr)
async def test_a_naive_datetime_is_refused(probe_database: MakeDatabase, given: date) -> None:
    with pytest.raises(Exception, match="names no instant"):
        async with probe_database().transaction() as session:
            await run(session, insert(probes).values(probe(1, at=given)))
    with pytest.raises(Exception, match="names no instant"):
        async with probe_database().read() as session:
            await value(session, select(probes.c.id).where(probes.c.at > given))


async def test_uuid_json_decimal_and_enum_come_back_as_they_were_given(probe_database: MakeDatabase) -> None:
    database = probe_database()
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1, **RICH)))
    async with database.read() as session:
        assert await rows(session, select(*(probes.c[name] for name in RICH))) == [tuple(RICH.values())]


async def test_text_of_four_byte_characters_comes_back(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database()
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1, name="🙂é'\"\\%s")))
    async with database.read() as session:
        assert await value(session, select(probes.c.name)) == "🙂é'\"\\%s"


async def test_defaults_that_python_makes_are_never_null(probe_database: MakeDatabase) -> None:
    database = probe_database()
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
        await run(session, insert(probes).values(probe(2, made=1)))
        assert await rows(session, select(probes.c.made).order_by(probes.c.id)) == [(7,), (1,)]
        await run(session, update(probes).values(value=1))
        assert await rows(session, select(probes.c.made)) == [(8,), (8,)]
