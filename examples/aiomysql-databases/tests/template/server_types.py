"""The own types of MySQL and MariaDB with values of each, and what only their SQL can say (test_engine.py)."""

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address

import sqlalchemy as sa
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects import mysql as my

from tests.template.expressions import Statements, counted, things
from tests.template.types_table import DOCUMENT, Colour, Types

TYPES: Types = {
    "TINYINT": (my.TINYINT(), -128, 127),
    "TINYINT(1)": (my.TINYINT(1), 1),
    "MEDIUMINT": (my.MEDIUMINT(unsigned=True), 2**24 - 1),
    "BIGINT": (my.BIGINT(unsigned=True), 2**64 - 1),
    "ZEROFILL": (my.INTEGER(6, unsigned=True), 12),
    "NUMERIC": (my.NUMERIC(65, 30), Decimal("12345678901234567890123456789012345.000000000000000000000000000001")),
    "DECIMAL unsigned": (my.DECIMAL(6, 2, unsigned=True), Decimal("9999.99")),
    "FLOAT": (my.FLOAT(), 1.1),
    "DOUBLE": (my.DOUBLE(asdecimal=True), Decimal("1.25")),
    "REAL of MySQL": (my.REAL(asdecimal=False), 1.25),
    "BIT": (my.BIT(1), 1, 0),
    "BIT(12)": (my.BIT(12), 0b101010101010, 10),
    "YEAR": (my.YEAR(), 1901, 2155),
    "TIME": (my.TIME(fsp=6), (datetime(2024, 1, 1, 23, 59, 59, 999999)).time()),
    "DATETIME": (my.DATETIME(fsp=6), datetime(1000, 1, 1, 0, 0, 0, 1)),
    "TIMESTAMP": (my.TIMESTAMP(fsp=3), datetime(2024, 1, 1, 0, 0, 0, 500000)),
    "Interval of the day": (sa.Interval(second_precision=6), timedelta(microseconds=5)),
    "CHAR of a collation": (my.CHAR(4, collation="utf8mb4_bin"), "é"),
    "VARCHAR": (my.VARCHAR(10, charset="latin1"), "é"),
    "NCHAR": (my.NCHAR(4), "ü"),
    "NVARCHAR": (my.NVARCHAR(4), "ü"),
    "TINYTEXT": (my.TINYTEXT(), "t"),
    "MEDIUMTEXT": (my.MEDIUMTEXT(), "m%" * 100),
    "LONGTEXT": (my.LONGTEXT(), "l"),
    "BINARY": (my.BINARY(3), b"\0\xff'"),
    "VARBINARY": (my.VARBINARY(9), b"%s\\"),
    "TINYBLOB": (my.TINYBLOB(), b"t"),
    "MEDIUMBLOB": (my.MEDIUMBLOB(), b"\xff\xfe"),
    "LONGBLOB": (my.LONGBLOB(), bytearray(b"\xff")),
    "BLOB": (my.BLOB(), b"b"),
    "ENUM": (my.ENUM(Colour), Colour.BLUE),
    "ENUM of strings": (my.ENUM("x", "y z", "%", ""), "y z", "%", ""),
    "SET": (my.SET("a", "b c", "%"), {"a", "%"}, set()),
    "SET as bits": (my.SET("a", "b", "c", retrieve_as_bitwise=True), {"b"}),
    "JSON of MySQL": (my.JSON(), DOCUMENT, [None], "text", my.JSON.NULL),
    "INET4": (my.INET4(), ip_address("10.0.0.1"), "1.2.3.4"),
    "INET6": (my.INET6(), "::1"),
}


def missing(dialect: sa.Dialect) -> Collection[str]:
    """Of the types and statements those that this server lacks."""
    if getattr(dialect, "is_mariadb", False):
        return ("LATERAL",)
    return ("INET4", "INET6", "RETURNING", "RETURNING of some", "RETURNING of DELETE")


_id = things.c.id
_change = my.insert(things).values(id=1, name="new", odd=5)

READS: Statements = {
    "LATERAL": select(_id, (sub := select((_id + 1).label("n")).lateral()).c.n).join_from(things, sub, sa.true()),
    "a plain percent sign": text("SELECT DATE_FORMAT(day, '%Y-%m'), 5 % 3 FROM things WHERE id = 2"),
    "text of types": text(
        "SELECT b'101', x'00FF', CAST(1.5 AS DECIMAL(5, 2)), TIME '01:02:03', 1e0, 18446744073709551615"
    ),
    "a code of a comment": text("SELECT /*!40000 1 + */ 1"),
    "functions of MySQL": select(
        func.if_(_id > 1, "a%", "b"), func.group_concat(things.c.name), func.now() > "2000-01-01"
    )
    .group_by(_id)
    .order_by(_id),
    "JSON_EXTRACT": select(func.json_extract(things.c.document, "$.list[0]")).order_by(_id),
    "MATCH": select(_id).where(things.c.name.regexp_match("^o")),
    "SHOW": text("SHOW COLUMNS FROM things"),
    "CAST to FLOAT": select(sa.cast(things.c.amount, sa.Float), sa.cast(_id, sa.Double)).order_by(_id),
}

LOCKS: Statements = {
    "FOR UPDATE OF, SKIP LOCKED": select(things).with_for_update(of=things, skip_locked=True).order_by(_id),
    "FOR SHARE": select(_id).with_for_update(read=True).order_by(_id),
}

WRITES: Statements = {
    "RETURNING": insert(things).values(id=4, boxed=("boxed", 1)).returning(things),
    "RETURNING of some": insert(things).values([{"id": 4}, {"id": 5}]).returning(_id, things.c.of_context),
    "RETURNING of DELETE": delete(things).where(_id < 3).returning(things.c.document, things.c.odd),
    "ON DUPLICATE KEY": _change.on_duplicate_key_update(name=_change.inserted.name + "%", odd=6),
    "IGNORE": insert(things).prefix_with("IGNORE").values([{"id": 1}, {"id": 7}]),
    "REPLACE": text("REPLACE INTO counted (id, name) VALUES (1, 'x')"),
    "UPDATE with LIMIT": update(things).values(odd=7).with_dialect_options(mysql_limit=1),
    "DELETE with LIMIT": delete(things).with_dialect_options(mysql_limit=2),
    "no rows": text("SAVEPOINT here"),
}

COUNTED = (counted,)
