"""INSERT ... ON CONFLICT of many rows, from a temporary table."""

from typing import Any

from sqlalchemy import JSON, Column, ColumnElement, Text, cast, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import JSONB, insert

from app.database.bulk.columns import Columns, dialect
from app.database.bulk.rows import Batch
from app.database.bulk.statements import staged
from app.database.errors import DatabaseError, UniqueViolation
from app.database.unit import Unit

_CARDINALITY_VIOLATION = "21000"


async def insert_or_update(unit: Unit, batch: Batch, keys: Columns, update: Columns, touch: Columns) -> tuple[int, int]:
    """How many were inserted and updated."""
    async with staged(unit, batch, keys) as given:
        inserting = insert(batch.table).from_select([c.name for c in batch.columns], select(given), False)
        if update:
            inserting = inserting.on_conflict_do_update(
                index_elements=list(keys),
                set_={column.name: inserting.excluded[column.name] for column in (*update, *touch)},
                where=or_(*(_differ(column, inserting.excluded[column.name]) for column in update)),
            )
        else:
            inserting = inserting.on_conflict_do_nothing(index_elements=list(keys))
        # A row that is new was never locked or deleted by a transaction; from PostgreSQL 18 on, `old IS NULL` says so.
        done = inserting.returning(literal_column("xmax = 0").label("is_new")).cte("done")
        counts = select(func.count().filter(done.c.is_new), func.count().filter(~done.c.is_new))
        text = str(counts.select_from(done).compile(dialect=dialect))
        try:
            ((inserted, updated),) = (await unit.run(text, ())).rows
        except DatabaseError as error:  # by a collation, say, that ignores case
            if getattr(error.__cause__, "sqlstate", None) == _CARDINALITY_VIOLATION:
                raise UniqueViolation("Two of the rows have keys that the server takes for the same") from error
            raise
        return inserted, updated


def _differ(old: Column[Any], new: ColumnElement[Any]) -> ColumnElement[bool]:
    if isinstance(old.type, JSON) and not isinstance(old.type, JSONB):  # json has no equality
        return cast(old, Text).is_distinct_from(cast(new, Text))
    return old.is_distinct_from(new)
