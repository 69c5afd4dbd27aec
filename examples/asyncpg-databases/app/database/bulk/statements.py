"""What PostgreSQL has for many rows: COPY in the binary format, and temporary tables that end with the transaction."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Table

from app.database import driver
from app.database.bulk.columns import Columns, dialect, names
from app.database.bulk.rows import Batch
from app.database.bulk.sending import sending
from app.database.errors import InvalidValue


async def insert(raw: driver.RawConnection, table: Table, batch: Batch) -> None:
    columns = [column.name for column in batch.columns]
    with sending(raw, f"COPY {table.fullname}"):
        try:
            await raw.copy_records_to_table(table.name, schema_name=table.schema, columns=columns, records=batch.rows())
        except (TypeError, ValueError, ArithmeticError) as error:  # of the encoding; asyncpg names it elsewhere only
            raise InvalidValue from error


async def execute(raw: driver.RawConnection, text: str) -> int:
    """The number of rows that the statement matched, at the end of the server's answer; 0 for one that matches none."""
    with sending(raw, text):
        answer: str = await raw.execute(text)
    count = answer.rpartition(" ")[2]
    return int(count) if count.isdecimal() else 0


@asynccontextmanager
async def staged(raw: driver.RawConnection, batch: Batch, keys: Columns) -> AsyncIterator[Table]:
    """The rows in a temporary table, whose columns have the types of the table's own. Joins by `keys` need no index."""
    staging, source = batch.staging(), dialect.identifier_preparer.format_table(batch.table)
    selected = f"SELECT {names(batch.columns)} FROM {source}"
    await execute(raw, f"CREATE TEMPORARY TABLE {staging.name} ON COMMIT DROP AS {selected} WITH NO DATA")
    await insert(raw, staging, batch)
    yield staging
    await execute(raw, f"DROP TABLE {staging.name}")  # after an error the savepoint's rollback does it
