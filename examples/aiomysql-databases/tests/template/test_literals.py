"""Values as they stand in a statement, in every mode that a server may be in: each comes back, or is refused."""

import enum
from collections import defaultdict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import LargeBinary, String, bindparam, literal, select

from app.database import Database, InvalidValue, driver


class Colour(enum.Enum):
    RED = "red"


class Word(str, enum.Enum):  # noqa: UP042  # unlike StrEnum's, its own text is its name
    RED = "red"


class Number(int, enum.Enum):
    ONE = 1


class Instant(datetime):
    """As those of pendulum and freezegun are."""

    def __str__(self) -> str:
        return self.isoformat()


class Day(date):
    def __str__(self) -> str:
        return "a day"


class Real(float):
    def __repr__(self) -> str:
        return f"Real({self:f})"

    __str__ = __repr__


Point = namedtuple("Point", "x y")

HOSTILE = bytes(range(256)) + b"\\' OR 1 = 1 -- \\"


@pytest.mark.parametrize("mode", ["STRICT_ALL_TABLES", "NO_BACKSLASH_ESCAPES"])
async def test_bytes_arrive_as_they_are(server: driver.RawConnection, mode: str) -> None:
    await driver.run(server, f"SET SESSION sql_mode = CONCAT(@@sql_mode, ',{mode}')", ())
    ran = await driver.run(server, "SELECT %s, %s", (HOSTILE, b""))
    assert [tuple(row) for row in ran.rows] == [(HOSTILE, b"")]


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (Instant(2024, 1, 2, 3, 4, 5, 6), "2024-01-02 03:04:05.000006"),
        (Instant(2024, 1, 2, 3, 4, 5, tzinfo=UTC), "2024-01-02 03:04:05"),
        (Day(2024, 1, 2), "2024-01-02"),
        (time(1, 2, 3, tzinfo=UTC), "01:02:03"),
        (timedelta(hours=-1), "-01:00:00"),
        (Real(1.5), 1.5),
        (Number.ONE, 1),
        (True, 1),
        (Decimal("1.50"), Decimal("1.50")),
        (Word.RED, "red"),
        (UUID(int=1), str(UUID(int=1))),
        (PurePosixPath("/'a"), "/'a"),
        (memoryview(b"abcd")[::2], b"ac"),
        (None, None),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_values_of_every_class_arrive_as_what_they_are(
    server: driver.RawConnection, value: Any, back: Any
) -> None:
    ((got,),) = (await driver.run(server, "SELECT %s", (value,))).rows
    assert (got, type(got)) == (back, type(back))


@pytest.mark.parametrize(
    "value",
    [object(), Colour.RED, Point(1, 2), [1], (1,), {1}, defaultdict(list), lambda: 1, int],
    ids=lambda value: type(value).__name__,
)
async def test_an_object_is_not_stored_by_its_name(server: driver.RawConnection, value: Any) -> None:
    with pytest.raises(TypeError):
        await driver.run(server, "SELECT %s", (value,))
    assert await driver.scalar(server, "SELECT 1") == 1


@pytest.mark.parametrize("value", [datetime(2024, 1, 2), Instant(2024, 1, 2), time(1, 2)], ids=repr)
async def test_a_time_with_an_offset_is_not_stored_without_it(server: driver.RawConnection, value: Any) -> None:
    with pytest.raises(ValueError, match="use UtcDateTime"):
        await driver.run(server, "SELECT %s", (value.replace(tzinfo=timezone(timedelta(hours=5, minutes=30))),))


@pytest.mark.parametrize("value", ["\ud800", "\udcc3\udca9", "a\udcff"], ids=ascii)
async def test_halves_of_surrogate_pairs_are_no_text(database: Database, value: str) -> None:
    """aiomysql would make bytes of them, and the server another character."""
    async with database.read() as session:
        with pytest.raises(InvalidValue):
            await session.fetch_val(select(bindparam("value", type_=String())), {"value": value})


@pytest.mark.parametrize("value", [5, True, [1, 2], "text", 1.5], ids=repr)
async def test_bytes_are_made_of_nothing_else(database: Database, value: Any) -> None:
    async with database.read() as session:
        with pytest.raises(TypeError, match="bytes-like"):
            await session.fetch_val(select(literal(value, LargeBinary())))
        with pytest.raises(TypeError, match="bytes-like"):
            await session.fetch_val(select(bindparam("value", type_=LargeBinary())), {"value": value})
