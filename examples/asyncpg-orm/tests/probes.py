"""A table for the tests of the data layer, which must not need one of the service's own."""

import enum
from decimal import Decimal
from uuid import uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Enum,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
)
from sqlalchemy.orm import registry

from app.database import UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


probes = Table(
    "probes",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(20), nullable=False, unique=True),
    Column("value", Integer, nullable=False),
    Column("parent_id", BigInteger, ForeignKey("probes.id"), index=True),  # else each DELETE reads the table
    Column("at", UtcDateTime),
    Column("key", Uuid),
    Column("document", JSON),
    Column("amount", Numeric(12, 4)),
    Column("colour", Enum(Colour, native_enum=False, length=10)),
    Column("made", Integer, default=lambda: 7, onupdate=8),
    CheckConstraint("value < 1000000", name="value"),
)


class Probe:
    """A mapped class, one attribute of which has another name than its column."""


registry().map_imperatively(Probe, probes, properties={"number": probes.c.value})

numbered = Table(
    "numbered",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("code", String(20), nullable=False, unique=True),
    Column("nick", String(20), unique=True),
    Column("value", Integer),
    Column("changed", Integer, default=1),
)


def probe(id: int, **values: object) -> dict[str, object]:
    """A row that is valid in every column."""
    return {"id": id, "name": f"probe {id}", "value": 0, **values}


RICH: dict[str, object] = {
    "key": uuid4(),
    "document": {"text": "🙂", "list": [1, None]},
    "amount": Decimal("12345678.0001"),
    "colour": Colour.BLUE,
}
