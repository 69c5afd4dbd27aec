"""Values come back as they were given, on every server and in both access styles."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import insert, select, update

from app.database import Database, driver
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


async def test_a_naive_datetime_is_refused(probe_database: MakeDatabase) -> None:
    with pytest.raises(Exception, match="names no instant"):
        async with probe_database().transaction() as session:
            await run(session, insert(probes).values(probe(1, at=datetime(2024, 1, 1))))


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
