"""INSERT of many rows that may be there already and are then updated or skipped, with true numbers of what was done."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.database.backend import Session
from app.database.bulk.columns import Columns, Names, Target, chosen, key_of
from app.database.bulk.on_conflict import insert_or_update
from app.database.bulk.rows import Batch, Rows, batches
from app.database.bulk.unit import all_or_nothing, apply
from app.database.unit import Unit


@dataclass(frozen=True)
class Upserted:
    """Numbers of rows; `skipped` were there already, and had nothing to update."""

    inserted: int = 0
    updated: int = 0
    skipped: int = 0

    def __add__(self, other: "Upserted") -> "Upserted":
        return Upserted(self.inserted + other.inserted, self.updated + other.updated, self.skipped + other.skipped)


async def upsert(
    session: Session, target: Target, rows: Rows, *, conflict: Names, update: Names = (), touch: Names = ()
) -> Upserted:
    """Insert the rows; where one with the same `conflict` is there, set its columns of `update` to the new values.

    `conflict` are the columns of the primary key or of a unique constraint. A row whose `update` columns have these
    values already is skipped, as are all without `update`; columns of `touch` (updated_at) change only together with
    another. Rows of one key take effect in their order: a later one updates an earlier one. `rows` as for bulk_insert.
    Raises ValueError for columns that do not fit, else the errors of an INSERT, with `row`, also for a conflict with
    another constraint; then nothing is done.
    """
    keys, changing, touched = (chosen(target, conflict), chosen(target, update), chosen(target, touch))
    if not keys or (key := key_of(keys)) is None or getattr(key, "deferrable", None):
        raise ValueError(f"conflict={conflict!r} is neither the primary key nor a unique constraint, checked at once")
    total = Upserted()
    async with all_or_nothing(session) as (unit, dialect):
        async for batch in batches(dialect, target, rows):
            batch.keys((*changing, *touched))  # that each row has them
            for distinct in _distinct(batch, keys):
                total += await apply(unit, distinct, partial(_upsert, keys, changing, touched))
    return total


async def _upsert(keys: Columns, update: Columns, touch: Columns, unit: Unit, batch: Batch) -> Upserted:
    inserted, updated = await insert_or_update(unit, batch, keys, update, touch if update else ())
    return Upserted(inserted, updated, len(batch) - inserted - updated)


def _distinct(batch: Batch, keys: Columns) -> Iterator[Batch]:
    """The batch, divided so that no key comes twice in a part: no server can update a row twice in one statement."""
    times: Counter[tuple[Any, ...]] = Counter()
    parts: list[list[int]] = []
    for place, key in enumerate(batch.keys(keys)):
        try:
            hash(key)
        except TypeError:  # an array
            key = (repr(key),)
        number = 0 if None in key else times[key]  # NULL equals nothing
        times[key] += 1
        if number == len(parts):
            parts.append([])
        parts[number].append(place)
    if len(parts) == 1:
        yield batch
    else:
        yield from map(batch.pick, parts)
