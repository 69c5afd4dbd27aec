"""The first and the last day and instant of Python are stored as what they are, not as asyncpg's infinity."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import ARRAY, Column, Date, DateTime, Integer, MetaData, Table, insert, select
from sqlalchemy.dialects.postgresql import DATERANGE, TSRANGE, Range
from sqlalchemy.types import TypeEngine

from app.database import Database, DatabaseError, UnreadableValue, driver
from tests.statements import rows, run, value

MakeDatabase = Callable[..., Database]

FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)
COLUMNS: dict[str, TypeEngine[Any]] = {
    "day": Date(),
    "instant": DateTime(),
    "days": ARRAY(Date()),
    "range": DATERANGE(),
    "times": TSRANGE(),
}
times = Table("times", MetaData(), Column("id", Integer), *(Column(name, type) for name, type in COLUMNS.items()))
VALUES: dict[str, tuple[str, Any, str]] = {
    "first day": ("day", date.min, "0001-01-01"),
    "last day": ("day", date.max, "9999-12-31"),
    "any day": ("day", date(1999, 12, 31), "1999-12-31"),
    "first instant": ("instant", FIRST, "0001-01-01 00:00:00"),
    "last instant": ("instant", LAST, "9999-12-31 23:59:59.999999"),
    "any instant": ("instant", datetime(1999, 12, 31, 23, 59, 59, 1), "1999-12-31 23:59:59.000001"),
    "days": ("days", [date.min, None, date.max], "{0001-01-01,NULL,9999-12-31}"),
    "range": ("range", Range(date.min, date.max), "[0001-01-01,9999-12-31)"),
    "range of times": ("times", Range(FIRST, LAST), '["0001-01-01 00:00:00","9999-12-31 23:59:59.999999")'),
}


@pytest.fixture(autouse=True)
async def table(server: driver.RawConnection) -> AsyncIterator[None]:
    await server.execute("DROP TABLE IF EXISTS times")
    await server.execute(
        "CREATE TABLE times (id int, day date, instant timestamp, days date[], range daterange, times tsrange)"
    )
    yield
    await server.execute("DROP TABLE times")


@pytest.mark.parametrize("way", ["statement", "bulk"])
@pytest.mark.parametrize("name", VALUES)
async def test_what_is_given_is_stored_and_comes_back(
    probe_database: MakeDatabase, server: driver.RawConnection, name: str, way: str
) -> None:
    column, given, stored = VALUES[name]
    async with probe_database().transaction() as session:
        if way == "bulk":
            bulk = pytest.importorskip("app.database.bulk", reason="it was deleted: docs/bulk.md")
            await bulk.bulk_insert(session, times, [{"id": 1, column: given}])
        else:
            await run(session, insert(times).values({"id": 1, column: given}))
        assert await value(session, select(times.c[column])) == given
    assert await server.fetchval(f"SELECT {column}::text FROM times") == stored


async def test_infinity_is_read_as_the_last_day_since_that_was_stored_as_it(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    await server.execute("INSERT INTO times VALUES (1, '-infinity', '-infinity'), (2, 'infinity', 'infinity')")
    async with probe_database().read() as session:
        found = await rows(session, select(times.c.day, times.c.instant).order_by(times.c.id))
    assert found == [(date.min, FIRST), (date.max, LAST)]


async def test_what_python_has_not_is_named(probe_database: MakeDatabase, server: driver.RawConnection) -> None:
    await server.execute("INSERT INTO times (day, instant) VALUES ('4713-01-01 BC', '294276-12-31')")
    async with probe_database(pool_size=1).read() as session:
        for name in ("day", "instant"):
            with pytest.raises(UnreadableValue, match=f"The column {name} "):  # and not the other, which is a number
                await rows(session, select(times.c.id, times.c[name]))


async def test_a_day_is_an_instant_and_an_instant_has_a_day_but_none_with_an_offset_is_taken(
    probe_database: MakeDatabase,
) -> None:
    async with probe_database().transaction() as session:
        await run(session, insert(times).values(id=1, day=LAST, instant=date(2024, 2, 29)))
        assert await rows(session, select(times.c.day, times.c.instant)) == [(date.max, datetime(2024, 2, 29))]
    for wrong in ({"instant": LAST.replace(tzinfo=UTC)}, {"day": "2024-02-29"}, {"day": timedelta(1)}):
        with pytest.raises(DatabaseError) as refused:
            async with probe_database().transaction() as session:
                await run(session, insert(times).values(id=2, **wrong))
        assert refused.value.status == 500
