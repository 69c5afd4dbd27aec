"""UPDATE of many rows to values of their own: they are put into a temporary table, and a statement joins it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from sqlalchemy import Column, Table, literal_column, type_coerce
from sqlalchemy import update as update_of
from sqlalchemy.types import NullType

from app.database.backend import Session
from app.database.bulk.columns import Columns, Names, Target, chosen, version_of
from app.database.bulk.rows import NUMBER, Batch, Rows, batches
from app.database.bulk.statements import fill, staged
from app.database.bulk.unit import all_or_nothing, apply, execute
from app.database.errors import InvalidValue, UniqueViolation
from app.database.unit import Unit


class _Doubled(InvalidValue):
    pass


async def bulk_update(session: Session, target: Target, rows: Rows, *, key: Names) -> int:
    """Set the columns of each row where the columns of `key` are its; returns how many rows of the table matched.

    `rows` as for bulk_insert; what is made at an update (`onupdate`, a number in `version_id_col`) is added. Raises
    InvalidValue, with `row`, for a key that is None or that the server takes for that of an earlier row, else the
    errors of an UPDATE; then none is updated.
    """
    keys = chosen(target, key)
    async with all_or_nothing(session) as (unit, dialect):
        given = batches(dialect, target, rows, defaults="onupdate")
        if (first := await anext(given, None)) is None:
            return 0
        first.keys(keys)  # that the rows have them
        if not set(first.columns) - set(keys):
            raise ValueError("the rows have nothing to set beside their key")
        async with staged(unit, first, keys) as staging:
            update = partial(_update, staging, keys, version_of(target))
            matched = await _apply(unit, first, keys, update)
            async for batch in given:
                matched += await _apply(unit, batch, keys, update)
    return matched


async def _apply(unit: Unit, batch: Batch, keys: Columns, update: Callable[[Unit, Batch], Awaitable[int]]) -> int:
    for number, value in zip(batch.numbers, batch.keys(keys), strict=True):
        if None in value:
            raise InvalidValue(f"Row {number} has no key", row=number)
    try:
        return await apply(unit, batch, update)
    except _Doubled as error:
        raise InvalidValue(f"Row {error.row} has the key of an earlier row", row=error.row) from error


async def _update(staging: Table, keys: Columns, version: Column[Any] | None, unit: Unit, batch: Batch) -> int:
    number, given = staging.c[NUMBER], [staging.c[key.name] for key in keys]
    try:
        await fill(unit, batch, staging)
    except UniqueViolation as error:
        raise _Doubled(row=error.row) from error
    values: dict[Any, Any] = {c: staging.c[c.name] for c in batch.columns if c not in set(keys)}
    if version is not None and version not in set(batch.columns):
        values[version] = version + 1
    joined = [one == type_coerce(key, NullType()) for one, key in zip(given, keys, strict=True)]
    span: Any = [literal_column(str(batch.numbers[end])) for end in (0, -1)]
    statement = update_of(batch.table).values(values).where(*joined, number.between(*span))
    text = str(statement.compile(dialect=batch.dialect, compile_kwargs={"literal_binds": True}))  # of `onupdate`
    return await execute(unit, text)
