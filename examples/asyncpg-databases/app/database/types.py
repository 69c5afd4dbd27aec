"""Column types that mean the same on every server."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.database.dialect import TIMESTAMP_TYPE
from app.database.errors import InvalidValue

_OUTSIDE = "A time is outside of the years 1 to 9999 in UTC"
_INFINITE = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))  # to PostgreSQL's driver


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, exact to the microsecond: aware in, UTC out. A naive value is refused, for it names no instant."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return TIMESTAMP_TYPE

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone names no instant: use datetime.now(UTC)")
        try:
            instant = value.astimezone(UTC)
        except OverflowError as error:
            raise InvalidValue(_OUTSIDE) from error
        if instant in _INFINITE:
            raise InvalidValue(_OUTSIDE)
        return instant

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        return None if TIMESTAMP_TYPE.timezone else _in_utc  # what has a zone comes in UTC from the driver


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)
