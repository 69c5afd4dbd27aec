"""What MySQL and MariaDB have for many rows: INSERT of as many as fit into a packet, and temporary tables.

Not LOAD DATA: it is faster by half, but it cuts, zeroes and skips what does not fit, without an error.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import Table

from app.database import driver
from app.database.bulk.columns import Columns, dialect, names
from app.database.bulk.rows import Batch
from app.database.bulk.sending import sending

PACKET = 1_000_000  # bytes; servers take 4 MiB or more (max_allowed_packet)


async def insert(raw: driver.RawConnection, table: Table, batch: Batch) -> None:
    head = insert_into(table, batch)
    for values in packets(raw, batch):
        with sending(raw, head):
            await raw.query(head + ",".join(values))


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


async def execute(raw: driver.RawConnection, text: str) -> int:
    """The number of rows that the statement matched."""
    with sending(raw, text):
        count: int = await raw.query(text)  # not a cursor, which would also ask for warnings
    return count


@asynccontextmanager
async def staged(raw: driver.RawConnection, batch: Batch, keys: Columns) -> AsyncIterator[Table]:
    """The rows in a temporary table, whose columns have the types of the table's own."""
    staging, source = batch.staging(), dialect.identifier_preparer.format_table(batch.table)
    # With no index, a join without statistics compares each row of one table with each of the other.
    create = f"CREATE TEMPORARY TABLE {staging.name} (INDEX ({names(keys)})) AS SELECT {names(batch.columns)}"
    await execute(raw, f"{create} FROM {source} LIMIT 0")
    try:
        await insert(raw, staging, batch)
        yield staging
    finally:  # it would outlive the transaction; neither this nor its creation ends one
        with suppress(Exception):
            await execute(raw, f"DROP TEMPORARY TABLE {staging.name}")
