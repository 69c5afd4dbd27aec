"""Rows on their way to the driver: all of the same columns, completed with the defaults that Python makes, encoded as
SQLAlchemy would, and never more than a batch of them in memory.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, TypeAlias

from sqlalchemy import BigInteger, Column, MetaData, Table
from sqlalchemy.engine import Dialect

from app.database.bulk.columns import Target
from app.database.bulk.encoding import Encoder, Row
from app.database.unit import Unit

Rows: TypeAlias = Iterable[Row] | AsyncIterable[Row]

BATCH = 10_000
NUMBER = "number_of_bulk_row"  # the column of a temporary table


@dataclass(frozen=True)
class Batch:
    """Encoded rows, column by column, and the index of each among all rows of the call. `dialect` is the server's;
    `by_insert` says that these rows have to go by an ordinary INSERT.
    """

    dialect: Dialect
    table: Table
    columns: tuple[Column[Any], ...]
    values: list[list[Any]]
    numbers: Sequence[int]
    by_insert: bool = False

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self.values, strict=True)

    def keys(self, columns: Iterable[Column[Any]]) -> Iterator[tuple[Any, ...]]:
        """The values of these columns, for each row. Raises ValueError for a column that the rows do not have."""
        places = {column: place for place, column in enumerate(self.columns)}  # in a tuple `in` compares by SQL's =
        if missing := [column.key for column in columns if column not in places]:
            raise ValueError(f"the rows have no {', '.join(missing)}")
        return zip(*(self.values[places[column]] for column in columns), strict=True)

    def part(self, start: int, stop: int | None = None) -> "Batch":
        return replace(self, values=[column[start:stop] for column in self.values], numbers=self.numbers[start:stop])

    def pick(self, places: Sequence[int]) -> "Batch":
        picked = [[column[place] for place in places] for column in self.values]
        return replace(self, values=picked, numbers=[self.numbers[place] for place in places])

    def names(self, columns: Iterable[Column[Any]] | None = None) -> str:
        """As they stand in a statement."""
        quote = self.dialect.identifier_preparer.quote
        return ", ".join(quote(column.name) for column in columns or self.columns)

    def table_name(self) -> str:
        return self.dialect.identifier_preparer.format_table(self.table)

    def staging(self, unit: Unit) -> Table:
        """A temporary one; its name is not the table's own, which it would hide, and its types are the server's."""
        name = "bulk_rows" + "_" * (unit._seat.depth - 1)
        name += "of_it" * (self.table.name == name)
        return Table(name, MetaData(), Column(NUMBER, BigInteger), *(Column(column.name) for column in self.columns))

    def numbered(self, staging: Table) -> "Batch":
        """The rows as they go into it."""
        values = [list(self.numbers), *self.values]
        return replace(self, table=staging, columns=tuple(staging.columns), values=values)


async def batches(
    dialect: Dialect, target: Target, rows: Rows, *, defaults: Literal["default", "onupdate"] = "default"
) -> AsyncIterator[Batch]:
    """Batch by batch, with the columns of the first row. Raises ValueError for a row that has others."""
    encoder: Encoder | None = None
    first = 0
    async for some in _lists(rows):
        encoder = encoder or Encoder(dialect, target, some[0], defaults)
        numbers = range(first, first := first + len(some))
        yield Batch(dialect, encoder.table, encoder.columns, encoder.encode(some, numbers[0]), numbers)


async def _lists(rows: Rows) -> AsyncIterator[list[Row]]:
    if isinstance(rows, AsyncIterable):
        some: list[Row] = []
        async for row in rows:
            some.append(row)
            if len(some) == BATCH:
                yield some
                some = []
        if some:
            yield some
        return
    remaining = iter(rows)
    while some := list(islice(remaining, BATCH)):
        yield some
