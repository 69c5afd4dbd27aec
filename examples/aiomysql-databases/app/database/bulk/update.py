"""UPDATE of many rows to values of their own: they are put into a temporary table, and one statement joins it."""

from functools import partial
from typing import Any

from sqlalchemy import and_
from sqlalchemy import update as update_of

from app.database.backend import Session
from app.database.bulk.columns import Columns, Names, Target, chosen, dialect
from app.database.bulk.rows import Batch, Rows, batches
from app.database.bulk.statements import staged
from app.database.bulk.unit import all_or_nothing, apply, execute
from app.database.errors import InvalidValue
from app.database.unit import Unit


async def bulk_update(session: Session, target: Target, rows: Rows, *, key: Names) -> int:
    """Set the columns of each row where the columns of `key` are its; returns how many rows of the table matched.

    `rows` as for bulk_insert; what Python makes at an update (`onupdate`) is added. The keys of all rows stay in
    memory. Raises InvalidValue, with `row`, for a key that is None or that came before, else the errors of an UPDATE;
    then none is updated.
    """
    keys = chosen(target, key)
    seen: set[tuple[Any, ...]] = set()
    matched = 0
    async with all_or_nothing(session) as unit:
        async for batch in batches(target, rows, defaults="onupdate"):
            _check_keys(batch, keys, seen)
            matched += await apply(unit, batch, partial(_update, keys))
    return matched


def _check_keys(batch: Batch, keys: Columns, seen: set[tuple[Any, ...]]) -> None:
    if not set(batch.columns) - set(keys):
        raise ValueError("the rows have nothing to set beside their key")
    for number, value in zip(batch.numbers, batch.keys(keys), strict=True):
        if None in value:
            raise InvalidValue(f"Row {number} has no key", row=number)
        if value in seen:
            raise InvalidValue(f"Row {number} has the key of an earlier row", row=number)
        seen.add(value)


async def _update(keys: Columns, unit: Unit, batch: Batch) -> int:
    async with staged(unit, batch, keys) as given:
        values = {column.name: given.c[column.name] for column in batch.columns if column not in keys}
        joined = and_(*(column == given.c[column.name] for column in keys))
        return await execute(unit, str(update_of(batch.table).values(values).where(joined).compile(dialect=dialect)))
