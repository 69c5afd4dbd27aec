"""Stored values that Python does not have, such as a date before the year 1, are errors that name the column: never a
wrong value, nor a reason to give up the connection.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from app.database.errors import UnreadableValue

# Of which Python has every value.
_READABLE = (
    "bool",
    "bytea",
    "char",
    "float",
    "int2",
    "int4",
    "int8",
    "json",
    "name",
    "numeric",
    "oid",
    "text",
    "uuid",
    "varchar",
)


def error_of(columns: Sequence[Any]) -> UnreadableValue:
    """For a row with these columns, as asyncpg describes them."""
    suspected = [column for column in columns if not column.type.name.startswith(_READABLE)] or columns
    names = ", ".join(f"{column.name} ({column.type.name})" for column in suspected)
    which = f"The column {names}" if len(suspected) == 1 else f"One of the columns {names}"
    return UnreadableValue(f"{which} holds what Python does not have, such as a time outside of the years 1 to 9999")


async def setup_interval_codec(connection: Any) -> None:
    """asyncpg's own counts the days in 32 bits: ten million years were minus two."""
    await connection.set_type_codec(
        "interval", schema="pg_catalog", encoder=_to_interval, decoder=_to_timedelta, format="tuple"
    )


def _to_interval(value: timedelta) -> tuple[int, int, int]:
    return 0, value.days, value.seconds * 1_000_000 + value.microseconds


def _to_timedelta(value: tuple[int, int, int]) -> timedelta:
    """As asyncpg's own: a year has 365 days, any other month 30."""
    months, days, microseconds = value
    years, rest = divmod(abs(months), 12)
    whole = timedelta(365 * years + 30 * rest)
    return timedelta(days, microseconds=microseconds) + (whole if months > 0 else -whole)
