"""INSERT ... ON CONFLICT of many rows, from a temporary table."""

from typing import Any

from sqlalchemy import func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from app.database.bulk.columns import Columns, key_of, rows_of
from app.database.bulk.rows import Batch
from app.database.bulk.statements import fill, staged
from app.database.errors import DatabaseError, StatementRefused, UniqueViolation
from app.database.unit import Unit

_CARDINALITY_VIOLATION, _NO_SYSTEM_COLUMN = "21000", "0A000"


async def insert_or_update(unit: Unit, batch: Batch, keys: Columns, update: Columns, touch: Columns) -> tuple[int, int]:
    """How many were inserted and updated."""
    if batch.table.name == "excluded":
        raise StatementRefused("upsert cannot tell a table called excluded from what PostgreSQL calls so")
    key = key_of(keys)
    target: Any = {"index_elements": list(keys), "index_where": None if key is None else rows_of(key)}
    async with staged(unit, batch) as staging:
        await fill(unit, batch, staging)
        # By the key, so that several at once lock rows in one order, and wait for one another instead of a deadlock.
        given = select(*(staging.c[c.name] for c in batch.columns)).order_by(*(staging.c[c.name] for c in keys))
        inserting = insert(batch.table).from_select([c.key for c in batch.columns], given, False)
        if update:
            new = inserting.excluded
            inserting = inserting.on_conflict_do_update(
                set_={column.key: new[column.key] for column in (*update, *touch)},
                # As stored, of any type: = would take 'Bob' for the citext 'bob', and 1.00 for 1.0; json has none.
                # https://www.postgresql.org/docs/current/functions-comparisons.html#COMPOSITE-TYPE-COMPARISON
                where=func.pg_catalog.record_image_ne(func.row(*update), func.row(*(new[c.key] for c in update))),
                **target,
            )
        else:
            inserting = inserting.on_conflict_do_nothing(**target)
        done = inserting.returning(literal_column(_is_new(batch)).label("is_new")).cte("done")
        counts = select(func.count().filter(done.c.is_new), func.count().filter(~done.c.is_new)).select_from(done)
        text = str(counts.compile(dialect=batch.dialect, compile_kwargs={"literal_binds": True}))
        try:
            ((inserted, updated),) = (await unit.run(text, ())).rows
        except DatabaseError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state == _CARDINALITY_VIOLATION:  # by a collation, say, that ignores case
                raise UniqueViolation("Two of the rows have keys that the server takes for the same") from error
            if state == _NO_SYSTEM_COLUMN:
                raise StatementRefused("upsert counts the rows of a partitioned table from PostgreSQL 18 on") from error
            raise
        return inserted, updated


def _is_new(batch: Batch) -> str:
    """Of a row that is returned."""
    if batch.dialect.server_version_info >= (18,) and batch.table.name != "old":  # type: ignore[operator]
        return "old.* IS NOT DISTINCT FROM NULL"  # no row, not one of NULLs; a view has no system columns
    return "xmax = 0"  # a new row was never locked or deleted by a transaction; a partitioned table shows none
