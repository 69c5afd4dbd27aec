"""What MySQL and MariaDB have for many rows: INSERT of as many as fit into a packet, and temporary tables.

Not LOAD DATA: it is faster by half, but it cuts, zeroes and skips what does not fit, without an error.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from sqlalchemy import Table

from app.database import driver
from app.database.bulk.columns import Columns, dialect, names
from app.database.bulk.rows import Batch
from app.database.bulk.unit import execute
from app.database.rows import Ran
from app.database.unit import Unit

PACKET = 1_000_000  # bytes; servers take 4 MiB or more (max_allowed_packet)


async def insert(unit: Unit, table: Table, batch: Batch) -> None:
    head = insert_into(table, batch)

    async def send(raw: driver.RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
        await driver.finish_stream(raw)  # the rows may come from one
        for values in packets(raw, batch):
            await raw.query(head + ",".join(values))
        return Ran((), None, len(batch))

    await unit.run(head, (), send)


def insert_into(table: Table, batch: Batch) -> str:
    return f"INSERT INTO {dialect.identifier_preparer.format_table(table)} ({names(batch.columns)}) VALUES "


def packets(raw: driver.RawConnection, batch: Batch) -> Iterator[list[str]]:
    """The rows as text, in the order of the batch, as many at a time as a packet takes."""
    escape = raw.escape
    values: list[str] = []
    size = 0
    for row in batch.rows():
        text = f"({','.join(map(escape, row))})"
        length = len(text) if text.isascii() else len(text.encode(errors="surrogateescape"))
        if values and size + length > PACKET:
            yield values
            values, size = [], 0
        values.append(text)
        size += length + 1
    yield values


@asynccontextmanager
async def staged(unit: Unit, batch: Batch, keys: Columns) -> AsyncIterator[Table]:
    """The rows in a temporary table, whose columns have the types of the table's own."""
    staging, source = batch.staging(), dialect.identifier_preparer.format_table(batch.table)
    # With no index, a join without statistics compares each row of one table with each of the other.
    create = f"CREATE TEMPORARY TABLE {staging.name} (INDEX ({names(keys)})) AS SELECT {names(batch.columns)}"
    before = unit.keeps_state(True)  # it would outlive the transaction; neither this nor its creation ends one
    try:
        await execute(unit, f"{create} FROM {source} LIMIT 0")
        await insert(unit, staging, batch)
        yield staging
    finally:
        with suppress(Exception):
            await execute(unit, f"DROP TEMPORARY TABLE {staging.name}")
            unit.keeps_state(before)
