"""Column types that mean the same on every server."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, Dialect, Interval, type_coerce
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.database import instants
from app.database.dialect import TIMESTAMP_TYPE
from app.database.errors import InvalidValue

_OUTSIDE = "A time is outside of the years 1 to 9999 in UTC"
_INFINITE = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))  # to PostgreSQL's driver


class _Reckoning(DateTime.Comparator[datetime]):
    """An instant and a duration, a timedelta, make an instant; the difference of two instants is a duration."""

    def operate(self, *arguments: Any, **options: Any) -> Any:
        return _reckoned(super().operate(*arguments, **options))

    def reverse_operate(self, *arguments: Any, **options: Any) -> Any:
        return _reckoned(super().reverse_operate(*arguments, **options))


def _reckoned(expression: Any) -> Any:
    if isinstance(expression.type, DateTime | UtcDateTime):
        return type_coerce(instants.moved(expression), UtcDateTime())
    return instants.between(expression) if isinstance(expression.type, Interval) else expression


class _Instant(DateTime):
    comparator_factory = _Reckoning


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, exact to the microsecond: aware in, UTC out. A naive value is refused, for it names no instant."""

    impl = _Instant
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        return Interval() if isinstance(value, timedelta) else self

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return TIMESTAMP_TYPE

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if getattr(value, "tzinfo", None) is None:  # a date has none either
            raise ValueError("a datetime without a time zone names no instant: use datetime.now(UTC)")
        try:
            instant = value.astimezone(UTC)
        except OverflowError as error:
            raise InvalidValue(_OUTSIDE) from error
        if instant in _INFINITE:
            raise InvalidValue(_OUTSIDE)
        return instant

    def literal_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """As a value that is sent. The usual one has its offset, which MySQL reckons with and MariaDB refuses."""
        return lambda value: instants.literal(self.process_bind_param(value, dialect))

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        return instants.received
