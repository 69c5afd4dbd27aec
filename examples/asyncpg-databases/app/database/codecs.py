"""Times and numbers as what they are: asyncpg's own codecs store the first and the last day as infinity, count the days
of an interval in 32 bits, where ten million years were minus two, and the digits of a numeric in 16.

A timestamptz has asyncpg's own, far faster one: UtcDateTime refuses the two instants that it stores as infinity.

Infinity is read as the last day or instant, as asyncpg does: it may be what an earlier release has stored.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from asyncpg import Range

from app.database.errors import InvalidValue

# The numbers are those of https://magicstack.github.io/asyncpg/current/api/index.html, Connection.set_type_codec.
_DAYS = date(2000, 1, 1).toordinal()
_START, _MICROSECOND = (datetime(2000, 1, 1), timedelta(microseconds=1))  # of a timestamp without a zone
_DAY_INFINITY, _INFINITY = 2**31 - 1, 2**63 - 1
_DIGITS = 131_072  # before the point: https://www.postgresql.org/docs/current/datatype-numeric.html


async def set_up(connection: Any) -> None:
    """For a new connection, without a round trip."""
    for name, encoder, decoder in (
        ("date", _from_date, _to_date),
        ("timestamp", _from_datetime, _to_datetime),
        ("interval", _from_timedelta, _to_timedelta),
    ):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="tuple")


def _from_date(value: date) -> tuple[int]:
    return (value.toordinal() - _DAYS,)


def _to_date(value: tuple[int]) -> date:
    (days,) = value
    if days == _DAY_INFINITY:
        return date.max
    return date.min if days == -_DAY_INFINITY - 1 else date.fromordinal(days + _DAYS)


def _from_datetime(value: date) -> tuple[int]:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return ((value - _START) // _MICROSECOND,)


def _to_datetime(value: tuple[int]) -> datetime:
    (microseconds,) = value
    if microseconds == _INFINITY:
        return datetime.max
    return datetime.min if microseconds == -_INFINITY - 1 else _START + timedelta(microseconds=microseconds)


def _from_timedelta(value: timedelta) -> tuple[int, int, int]:
    return 0, value.days, value.seconds * 1_000_000 + value.microseconds


def _to_timedelta(value: tuple[int, int, int]) -> timedelta:
    """As asyncpg's own: a year has 365 days, any other month 30."""
    months, days, microseconds = value
    years, rest = divmod(abs(months), 12)
    whole = timedelta(365 * years + 30 * rest)
    return timedelta(days, microseconds=microseconds) + (whole if months > 0 else -whole)


def refuse_beyond_numeric(values: Iterable[Any]) -> None:
    """Raises InvalidValue for a number that is too large, also in an array or a range: asyncpg would send 0 for it."""
    for value in values:
        kind = type(value)
        if kind is Decimal and value and value.adjusted() >= _DIGITS:
            raise InvalidValue
        if kind is list or kind is tuple:
            refuse_beyond_numeric(value)
        elif kind is Range:
            refuse_beyond_numeric((value.lower, value.upper))
