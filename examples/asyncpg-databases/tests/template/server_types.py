"""PostgreSQL's own types with values of each, and what only its SQL can say (test_engine.py)."""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import column, delete, func, insert, select, text, update, values
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.dialects.postgresql import Range

from tests.template.expressions import Statements, counted, things
from tests.template.types_table import DOCUMENT, ZONED, Boxed, Colour, Types

_DAYS = Range(date(2024, 1, 1), date(2024, 2, 1))
_TIMES = Range(datetime(2024, 1, 1), datetime(2024, 1, 2), bounds="[]")
_INSTANTS = Range(datetime(2024, 1, 1, tzinfo=UTC), None)
_NUMBERS = Range(Decimal("1.5"), Decimal("2.5"), bounds="(]")

TYPES: Types = {
    "NaN": (sa.Numeric(), Decimal("NaN")),
    "NUMERIC": (pg.NUMERIC(), Decimal("1E+20"), Decimal("1.10")),
    "infinity": (sa.Double(), float("inf"), float("nan")),
    "DateTime with a zone": (sa.DateTime(timezone=True), ZONED),
    "Time with a zone": (sa.Time(timezone=True), time(1, 2, 3, 4, UTC)),
    "TIMESTAMP": (pg.TIMESTAMP(precision=3), datetime(2024, 1, 1, 1, 1, 1, 500000)),
    "TIME": (pg.TIME(precision=6), time(23, 59, 59, 999999)),
    "INTERVAL": (pg.INTERVAL(precision=6), timedelta(days=-40, microseconds=1)),
    "INTERVAL YEAR": (pg.INTERVAL(fields="DAY TO SECOND"), timedelta(1)),
    "BYTEA": (pg.BYTEA(), b"\0\xff"),
    "BIT": (pg.BIT(5), pg.BitString("10110")),
    "BIT VARYING": (pg.BIT(varying=True), pg.BitString("1")),
    "INET": (pg.INET(), ip_interface("10.0.0.1/8"), ip_address("::1")),
    "CIDR": (pg.CIDR(), ip_network("10.0.0.0/8")),
    "MACADDR": (pg.MACADDR(), "08:00:2b:01:02:03"),
    "MACADDR8": (pg.MACADDR8(), "08:00:2b:01:02:03:04:05"),
    "MONEY": (pg.MONEY(), "$1,000.00"),
    "OID": (pg.OID(), 2**32 - 1),
    "REGCLASS": (pg.REGCLASS(), "pg_class"),
    "REGCONFIG": (pg.REGCONFIG(), "english"),
    "TSVECTOR": (pg.TSVECTOR(), "'a':1 'b':2"),
    "TSQUERY": (pg.TSQUERY(), "'a' & 'b'"),
    "UUID": (pg.UUID(), UUID(int=1)),
    "JSONB": (pg.JSONB(), DOCUMENT, [None], "text", pg.JSONB.NULL),
    "ENUM": (pg.ENUM(Colour, name="colour_pg"), Colour.BLUE),
    "DOMAIN": (pg.DOMAIN("positive", sa.Integer(), check=text("VALUE > 0")), 5),
    "ARRAY of Integer": (sa.ARRAY(sa.Integer()), [], [1, None, 3]),
    "ARRAY of two dimensions": (pg.ARRAY(sa.Integer(), dimensions=2), [[1, 2], [3, 4]]),
    "ARRAY as tuples": (pg.ARRAY(sa.Text(), as_tuple=True), ("a", None, "b,'\"{}")),
    "ARRAY of Enum": (pg.ARRAY(sa.Enum(Colour, name="colour")), [Colour.RED, Colour.BLUE]),
    "ARRAY of strings' ENUM": (pg.ARRAY(pg.ENUM("x", "y z", name="letters")), ["y z"]),
    "ARRAY of Uuid": (pg.ARRAY(sa.Uuid(as_uuid=False)), [str(UUID(int=3))]),
    "ARRAY of Numeric": (pg.ARRAY(sa.Numeric(asdecimal=False)), [1.5]),
    "ARRAY of a type of one's own": (pg.ARRAY(Boxed(sa.Integer()), dimensions=1), [("boxed", 1)]),
    "ARRAY of JSON": (pg.ARRAY(sa.JSON()), [{"a": 1}, [2]]),
    "ARRAY of JSONB": (pg.ARRAY(pg.JSONB()), [{"a": 1}, None]),
    "ARRAY of ranges": (pg.ARRAY(pg.INT4RANGE()), [Range(1, 2)]),
    "INT4RANGE": (pg.INT4RANGE(), Range(1, 5), Range(empty=True), Range(None, None)),
    "INT8RANGE": (pg.INT8RANGE(), Range(2**40, None)),
    "NUMRANGE": (pg.NUMRANGE(), _NUMBERS),
    "DATERANGE": (pg.DATERANGE(), _DAYS),
    "TSRANGE": (pg.TSRANGE(), _TIMES),
    "TSTZRANGE": (pg.TSTZRANGE(), _INSTANTS),
    "INT4MULTIRANGE": (pg.INT4MULTIRANGE(), [], [Range(1, 3), Range(5, None)]),
    "INT8MULTIRANGE": (pg.INT8MULTIRANGE(), [Range(1, 3)]),
    "NUMMULTIRANGE": (pg.NUMMULTIRANGE(), [_NUMBERS]),
    "DATEMULTIRANGE": (pg.DATEMULTIRANGE(), [_DAYS]),
    "TSMULTIRANGE": (pg.TSMULTIRANGE(), [_TIMES]),
    "TSTZMULTIRANGE": (pg.TSTZMULTIRANGE(), [_INSTANTS]),
}


def missing(dialect: sa.Dialect) -> Collection[str]:
    """Of the types and statements those that this server lacks."""
    return ()


_id = things.c.id
_pairs = values(column("n", sa.Integer), column("c", things.c.colour.type), name="pairs").data([(1, Colour.RED)])
_moved = delete(things).where(_id == 2).returning(_id, things.c.name).cte("moved")
_sequence = sa.Sequence("numbers_of_things", start=50, metadata=things.metadata)
_numbered = sa.Table("numbered_things", things.metadata, sa.Column("id", sa.Integer, _sequence, primary_key=True))

READS: Statements = {
    "VALUES": select(_pairs),
    "LATERAL": select(_id, (sub := select((_id + 1).label("n")).lateral()).c.n).join_from(things, sub, sa.true()),
    "a function's rows": select(func.generate_series(1, 3).column_valued("n")),
    "DISTINCT ON": select(_id).ext(pg.distinct_on(things.c.served)).order_by(things.c.served, _id),
    "arrays": select(pg.array([1, 2]), func.array_agg(pg.aggregate_order_by(_id, _id.desc())), func.array_agg(_id)[1]),
    "ANY": select(_id).where(_id == sa.any_(pg.array([1, 2]))).order_by(_id),
    "a filter": select(func.count(_id).filter(_id > 1), func.string_agg(things.c.name, ",")),
    "text with ::": text("SELECT '5'::int, '{1,NULL}'::int[], ARRAY['x']::text[], '1 day'::interval"),
    "text of types": text("SELECT '[1,2)'::int4range, '101'::bit(3), '1.0.0.0/8'::cidr, '{\"a\"\\: 1}'::jsonb, 1.50"),
    "text of TABLE": text("TABLE counted"),
    "JSONB": select(sa.cast(DOCUMENT, pg.JSONB)["list"][1], sa.cast({"a": 1}, pg.JSONB).contains({"a": 1})),
    "JSONPATH": select(func.jsonb_path_query(sa.cast({"a": [1, 2]}, pg.JSONB), sa.cast("$.a[*]", pg.JSONPATH))),
    "ranges": select(sa.literal(Range(1, 5), pg.INT4RANGE) * sa.literal(Range(3, 9), pg.INT4RANGE)),
    "ILIKE": select(_id).where(things.c.name.ilike("ONE%"), things.c.name.regexp_match("^o")),
}

LOCKS: Statements = {
    "FOR UPDATE OF, SKIP LOCKED": select(things).with_for_update(of=things, skip_locked=True).order_by(_id),
    "FOR KEY SHARE NOWAIT": select(_id).with_for_update(key_share=True, read=True, nowait=True).order_by(_id),
}

WRITES: Statements = {
    "RETURNING": insert(things).values(id=4, boxed=("boxed", 1)).returning(things),
    "RETURNING beside defaults": insert(things)
    .values(id=4, colour=Colour.RED, boxed=("boxed", 3))
    .return_defaults(things.c.served, supplemental_cols=[things.c.boxed, things.c.colour]),
    "RETURNING of UPDATE beside defaults": update(things)
    .values(boxed=("boxed", 3))
    .return_defaults(things.c.served, supplemental_cols=[things.c.boxed, things.c.colour]),
    "RETURNING of some": insert(things).values([{"id": 4}, {"id": 5}]).returning(_id, things.c.of_context),
    "RETURNING of UPDATE": update(things).values(odd=0).returning(_id, things.c.colour, things.c.scalar.label("s")),
    "RETURNING of DELETE": delete(things).where(_id < 3).returning(things.c.document, things.c.odd),
    "RETURNING of none": delete(things).where(sa.false()).returning(things),
    "UPDATE FROM": update(things).values(name=_pairs.c.c).where(_id == _pairs.c.n),
    "ON CONFLICT": (change := pg.insert(things).values(id=1, name="new")).on_conflict_do_update(
        index_elements=["id"], set_={"name": change.excluded.name, "odd": 5}
    ),
    "ON CONFLICT DO NOTHING": pg.insert(things).values([{"id": 1}, {"id": 7}]).on_conflict_do_nothing(),
    "a writing CTE": insert(counted).from_select(["id"], select(_moved.c.id)),
    "a CTE beside it": select(_moved),
    "MERGE": text(
        "MERGE INTO counted USING things ON counted.id = things.id WHEN NOT MATCHED THEN INSERT VALUES (things.id)"
    ),
    "text with RETURNING": text("UPDATE things SET scalar = 1 RETURNING id, amount").columns(id=Boxed(sa.Integer())),
    "no rows": text("SET LOCAL work_mem = '1MB'"),
}

COUNTED = (counted, _numbered)
