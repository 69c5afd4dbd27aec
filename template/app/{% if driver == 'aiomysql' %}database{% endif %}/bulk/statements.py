"""What MySQL and MariaDB have for many rows: INSERT of as many as fit into a packet, and temporary tables.

Not LOAD DATA: it is faster by half, but it cuts, zeroes and skips what does not fit, without an error.
"""

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pymysql
from sqlalchemy import Column, Table, func, literal_column, select

from app.database import driver
from app.database.bulk.columns import Columns
from app.database.bulk.rows import NUMBER, Batch
from app.database.bulk.unit import execute
from app.database.errors import StatementRefused, UniqueViolation
from app.database.rows import Ran
from app.database.unit import Unit

PACKET = 1_000_000  # bytes; servers take 4 MiB or more (max_allowed_packet)
INDEXED = 191  # characters of four bytes that every index takes
_PRIVILEGES = (1044, 1142)


async def insert(unit: Unit, batch: Batch) -> int:
    head = insert_into(batch)

    async def send(raw: driver.RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
        await driver.finish_stream(raw)  # the rows may come from one
        for values in packets(raw, batch):
            await raw.query(head + ",".join(values))
        return Ran((), None, len(batch))

    return (await unit.run(head, (), send)).rowcount


def insert_into(batch: Batch) -> str:
    return f"INSERT INTO {batch.table_name()} ({batch.names()}) VALUES " % ()  # SQLAlchemy doubles a % in a name


def packets(raw: driver.RawConnection, batch: Batch) -> Iterator[list[str]]:
    """The rows as text, in the order of the batch, as many at a time as a packet takes."""
    escape = raw.escape
    values: list[str] = []
    size = 0
    for row in batch.rows():
        text = f"({','.join(map(escape, row))})"
        length = len(text) if text.isascii() else len(text.encode(errors="replace"))
        if values and size + length > PACKET:
            yield values
            values, size = [], 0
        values.append(text)
        size += length + 1
    yield values


@asynccontextmanager
async def staged(unit: Unit, batch: Batch, unique: Columns) -> AsyncIterator[Table]:
    """An empty temporary table whose columns have the types of the table's own."""
    # With no index, a join without statistics compares each row of one table with each of the other.
    parts, whole = _index(batch, unique)
    staging = batch.staging(unit)
    staging.info["without index"] = () if whole else [staging.c[column.name] for column in unique]
    selected = f"SELECT 0 AS {NUMBER}, {batch.names()} FROM {batch.table_name()} LIMIT 0"
    connection: Any = unit._seat.connection  # there since the savepoint around this
    try:
        columns = f"{NUMBER} BIGINT PRIMARY KEY{parts}"
        create = f"CREATE TEMPORARY TABLE {staging.name} ({columns}) ENGINE=InnoDB AS {selected}"
        await unit.run(create, (), _create, own=True)
        yield staging
    finally:
        # The table would outlive the transaction; neither its creation nor its end ends one.
        before, connection.keeps_state = connection.keeps_state, True
        with suppress(Exception):
            await execute(unit, f"DROP TEMPORARY TABLE {staging.name}")
            connection.keeps_state = before


async def fill(unit: Unit, batch: Batch, staging: Table) -> None:
    """Put the rows into it. Raises UniqueViolation for a key of an earlier one."""
    await insert(unit, batch.numbered(staging))
    if keys := staging.info["without index"]:
        place = func.row_number().over(partition_by=keys, order_by=staging.c[NUMBER])  # by the server's own comparison
        each = select(staging.c[NUMBER], place.label("place")).subquery("each_row")
        query = select(each.c[NUMBER]).where(each.c.place > literal_column("1")).order_by(each.c[NUMBER])
        for (row,) in (await unit.run(str(query.compile(dialect=batch.dialect)), (), own=True)).rows:
            raise UniqueViolation(row=row)


async def _create(raw: driver.RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
    try:
        return await driver.run_text(raw, statement, ())
    except pymysql.MySQLError as error:
        if error.args[0] in _PRIVILEGES:
            raise StatementRefused("bulk_update needs the privilege CREATE TEMPORARY TABLES: GRANT it") from error
        raise


def _index(batch: Batch, columns: Columns) -> tuple[str, bool]:
    """Of the columns that can be in one, and of long ones as much as it takes; whether that is all of them."""
    parts = [_part(batch, column) for column in columns]
    whole = parts == [batch.names([column]) for column in columns]
    listed = ", ".join(filter(None, parts))
    return f", {'UNIQUE ' * whole}INDEX ({listed})" if listed else "", whole


def _part(batch: Batch, column: Column[Any]) -> str:
    kind = re.sub("'.*'", "", batch.dialect.type_compiler_instance.process(column.type))  # without an ENUM's words
    length = re.search(r"(?:CHAR|BINARY)\((\d+)\)", kind)
    if "JSON" in kind:
        return ""
    is_long = "TEXT" in kind or "BLOB" in kind or (length and int(length[1]) > INDEXED)
    return batch.names([column]) + (f"({INDEXED})" if is_long else "")
