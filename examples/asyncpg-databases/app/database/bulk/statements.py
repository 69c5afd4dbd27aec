"""What PostgreSQL has for many rows: COPY in the binary format, and temporary tables that end with the transaction."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Table

from app.database import driver
from app.database.bulk.columns import Columns, dialect, names
from app.database.bulk.rows import Batch
from app.database.bulk.unit import execute
from app.database.errors import InvalidValue
from app.database.rows import Ran
from app.database.unit import Unit


async def insert(unit: Unit, table: Table, batch: Batch) -> None:
    columns = [column.name for column in batch.columns]

    async def copy(raw: driver.RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
        try:
            await raw.copy_records_to_table(table.name, schema_name=table.schema, columns=columns, records=batch.rows())
        except (TypeError, ValueError, ArithmeticError) as error:  # of the encoding; asyncpg names it elsewhere only
            raise InvalidValue from error
        return Ran((), None, len(batch))

    await unit.run(f"COPY {table.fullname} FROM STDIN", (), copy)


@asynccontextmanager
async def staged(unit: Unit, batch: Batch, keys: Columns) -> AsyncIterator[Table]:
    """The rows in a temporary table, whose columns have the types of the table's own. Joins by `keys` need no index."""
    staging, source = batch.staging(), dialect.identifier_preparer.format_table(batch.table)
    selected = f"SELECT {names(batch.columns)} FROM {source}"
    await execute(unit, f"CREATE TEMPORARY TABLE {staging.name} ON COMMIT DROP AS {selected} WITH NO DATA")
    await insert(unit, staging, batch)
    yield staging
    await execute(unit, f"DROP TABLE {staging.name}")  # after an error the savepoint's rollback does it
