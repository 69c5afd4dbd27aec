"""What PostgreSQL has for many rows: COPY in the binary format, and temporary tables that end with the transaction."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import Table

from app.database import driver
from app.database.bulk.columns import Columns
from app.database.bulk.rows import NUMBER, Batch
from app.database.bulk.unit import ByInsert, execute
from app.database.codecs import refuse_beyond_numeric
from app.database.errors import DatabaseError, InvalidValue, StatementRefused
from app.database.rows import Ran
from app.database.unit import Unit


async def insert(unit: Unit, batch: Batch) -> int:
    """How many the server has stored: a trigger may have left some out."""
    if batch.by_insert:
        places = ", ".join(f"${number}" for number in range(1, len(batch.columns) + 1))
        statement = f"INSERT INTO {batch.table_name()} ({batch.names()}) VALUES ({places})"
        return (await unit.run(statement, list(batch.rows()), _insert_each)).rowcount
    columns, table = [column.name for column in batch.columns], batch.table

    async def copy(raw: driver.RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
        refuse_beyond_numeric(batch.rows())
        try:
            status = await raw.copy_records_to_table(
                table.name, schema_name=table.schema, columns=columns, records=batch.rows()
            )
        except (asyncpg.FeatureNotSupportedError, asyncpg.WrongObjectTypeError) as error:  # row-level security, a view
            raise ByInsert from error
        except asyncpg.InternalClientError as error:
            if "binary format" not in str(error):  # which asyncpg has for the types that it knows
                raise
            raise ByInsert from error
        except (TypeError, AttributeError) as error:  # asyncpg names errors of the encoding elsewhere only
            raise DatabaseError from error
        except (ValueError, ArithmeticError) as error:
            raise InvalidValue from error
        return Ran((), None, int(status.split()[1]))

    return (await unit.run(f"COPY {batch.table_name()} FROM STDIN", (), copy, own=True)).rowcount


async def _insert_each(raw: driver.RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
    refuse_beyond_numeric(arguments)
    plan = await raw.prepare(statement)  # anew: the types are those of the table that has this name now
    await plan.executemany(arguments)
    return Ran((), None, len(arguments))


@asynccontextmanager
async def staged(unit: Unit, batch: Batch, unique: Columns = ()) -> AsyncIterator[Table]:
    """An empty temporary table whose columns have the types of the table's own."""
    staging = batch.staging(unit)
    index = f"; CREATE UNIQUE INDEX ON {staging.name} ({batch.names(unique)})" if unique else ""

    async def create(raw: driver.RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
        try:
            return await driver.run_text(raw, statement + index)
        except asyncpg.InsufficientPrivilegeError as error:
            raise StatementRefused("It needs TEMPORARY on the database and SELECT on the table: GRANT them") from error

    selected = f"SELECT 0::bigint AS {NUMBER}, {batch.names()} FROM {batch.table_name()} WITH NO DATA"
    await unit.run(f"CREATE TEMPORARY TABLE {staging.name} ON COMMIT DROP AS {selected}", (), create, own=True)
    yield staging
    await execute(unit, f"DROP TABLE {staging.name}")  # after an error the savepoint's rollback does it


async def fill(unit: Unit, batch: Batch, staging: Table) -> None:
    """Put the rows into it. Raises UniqueViolation for a key of an earlier one."""
    await insert(unit, batch.numbered(staging))
