"""SQLAlchemy's types that every server has, with values of each, and a type of a service's own over any of them."""

import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.database import UtcDateTime

Types: TypeAlias = dict[str, tuple[TypeEngine[Any], *tuple[Any, ...]]]  # by name: the type, and values


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue sky"


class Boxed(TypeDecorator[Any]):
    """Over any other type: a value is here what its column stores and a word beside it."""

    impl: Any = TypeEngine
    cache_ok = True

    def __init__(self, impl: TypeEngine[Any]) -> None:
        self.impl = impl

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return value and value[1]

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else ("boxed", value)


DOCUMENT: dict[str, Any] = {"text": "🙂 % : '\"\\", "list": [1, None, 2.5, {"deep": True}]}
ZONED = datetime(2024, 12, 31, 23, 59, 59, 999999, UTC)

COMMON: Types = {
    "Boolean": (sa.Boolean(), True, False),
    "SmallInteger": (sa.SmallInteger(), 0, -32768, 32767),
    "Integer": (sa.Integer(), -(2**31), 2**31 - 1),
    "BigInteger": (sa.BigInteger(), -(2**63), 2**63 - 1),
    "Numeric": (sa.Numeric(20, 6), Decimal("12345678901234.000001"), Decimal(0)),
    "Numeric as float": (sa.Numeric(12, 4, asdecimal=False), 1.5, -2.25),
    "DECIMAL": (sa.DECIMAL(10, 0), Decimal(-7)),
    "Float": (sa.Float(), 1.5),
    "Float as decimal": (sa.Float(asdecimal=True), Decimal("1.5")),
    "Double": (sa.Double(), 1 / 3, 1e300),
    "Double as decimal": (sa.Double(asdecimal=True), Decimal("0.1")),
    "REAL": (sa.REAL(), 0.5),
    "String": (sa.String(60), "", "🙂é'\"\\ %s %(x)s :name ?"),
    "CHAR": (sa.CHAR(6), "a b"),
    "Unicode": (sa.Unicode(20), "ÿ"),
    "Text": (sa.Text(), "x" * 1000),
    "UnicodeText": (sa.UnicodeText(), "\t\r\n"),
    "Date": (sa.Date(), date(1000, 1, 1), date(9999, 12, 31)),
    "Time": (sa.Time(), time(0), time(23, 59, 58)),
    "DateTime": (sa.DateTime(), datetime(2024, 2, 29, 1, 2, 3)),
    "UtcDateTime": (UtcDateTime(), ZONED),
    "Interval": (sa.Interval(), timedelta(days=3, seconds=7)),
    "Interval that is not native": (sa.Interval(native=False), timedelta(hours=-1)),
    "LargeBinary": (sa.LargeBinary(), b"", bytes(range(256))),
    "PickleType": (sa.PickleType(), {"key": (1, {2})}, Colour.RED),
    "Enum": (sa.Enum(Colour, name="colour"), Colour.RED, Colour.BLUE),
    "Enum of strings": (sa.Enum("a", "b c", name="words"), "a", "b c"),
    "Enum by value": (
        sa.Enum(Colour, name="colour_value", values_callable=lambda kind: [member.value for member in kind]),
        Colour.BLUE,
    ),
    "Enum that is not native": (sa.Enum(Colour, native_enum=False, length=10), Colour.BLUE),
    "Uuid": (sa.Uuid(), UUID(int=2**127 + 1)),
    "Uuid as text": (sa.Uuid(as_uuid=False), str(UUID(int=2**127 + 1))),
    "Uuid that is not native": (sa.Uuid(native_uuid=False), UUID(int=7)),
    "Uuid as text that is not native": (sa.Uuid(as_uuid=False, native_uuid=False), str(UUID(int=7))),
    "JSON": (sa.JSON(), DOCUMENT, [], "text", 5, 0.5, True, sa.JSON.NULL),
    "JSON, None as NULL": (sa.JSON(none_as_null=True), DOCUMENT, None),
    "a variant": (sa.String(10).with_variant(sa.Text(), "postgresql", "mysql"), "y"),
}
