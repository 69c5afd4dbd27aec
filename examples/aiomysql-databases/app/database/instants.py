"""How instants come from MySQL and MariaDB, and how they move one by a duration and take two from one another: by
functions, for their operators take times for numbers.
https://dev.mysql.com/doc/refman/9.7/en/date-and-time-functions.html
"""

from datetime import UTC, datetime, timedelta
from operator import add, sub
from typing import Any

from sqlalchemy import BigInteger, BindParameter, DateTime, Dialect, Interval, func, literal_column, type_coerce
from sqlalchemy.types import TypeDecorator

_LENGTH = timedelta(microseconds=1)
_UNIT: Any = literal_column("MICROSECOND")
_EPOCH: Any = literal_column("'1970-01-01'")  # from which SQLAlchemy counts what it stores as an Interval


class _Reckoning(TypeDecorator.Comparator[timedelta]):
    """A duration and another one, or an instant: what it is compared with or moved by is counted as it is."""

    def operate(self, op: Any, *others: Any, **options: Any) -> Any:
        others = tuple(_microseconds(each) if isinstance(_type_of(each), Interval) else each for each in others)
        result = super().operate(op, *others, **options)
        if op in (add, sub):
            instant = next((each for each in others if isinstance(_type_of(each), DateTime | TypeDecorator)), None)
            if instant is not None and not isinstance(instant.type, _Duration):
                return type_coerce(moved(result), instant.type)
            return type_coerce(result, _Duration())
        return result


class _Duration(TypeDecorator[timedelta]):
    impl = BigInteger
    cache_ok = True
    comparator_factory = _Reckoning

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        return None if value is None else value // _LENGTH

    def process_result_value(self, value: Any, dialect: Dialect) -> timedelta | None:
        return None if value is None else int(value) * _LENGTH  # a sum is a Decimal, what COALESCE gives may be text


def _type_of(other: Any) -> Any:
    return getattr(other, "type", None)


def received(value: datetime | str | None) -> datetime | None:
    """What a column holds, in UTC by our own doing; a text where an expression has a value in it: there are no literals
    of this type.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return None if value is None else value.replace(tzinfo=UTC)


def literal(instant: datetime | None) -> str:
    """As it stands in a statement: a column has no offset."""
    return "NULL" if instant is None else f"'{instant.replace(tzinfo=None)}'"


def moved(expression: Any) -> Any:
    """An instant plus or minus a duration, for the operator between the two."""
    instant, by = expression.left, expression.right
    if isinstance(instant.type, Interval | _Duration):
        instant, by = by, instant
    length = _microseconds(by)
    return func.timestampadd(_UNIT, -length if expression.operator is sub else length, instant)


def between(expression: Any) -> Any:
    """The duration for an instant minus an instant."""
    return func.timestampdiff(_UNIT, expression.right, expression.left, type_=_Duration())


def _microseconds(by: Any) -> Any:
    if isinstance(by, BindParameter):
        return type_coerce(by, _Duration())
    return type_coerce(by, BigInteger()) if isinstance(by.type, _Duration) else func.timestampdiff(_UNIT, _EPOCH, by)
