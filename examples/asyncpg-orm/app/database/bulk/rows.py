"""Rows on their way to the driver: all of the same columns, completed with the defaults that Python makes, encoded as
SQLAlchemy would, and never more than a batch of them in memory.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from sqlalchemy import Column, MetaData, Table

from app.database.bulk.columns import Target, chosen, columns_of, dialect

Row: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = Iterable[Row] | AsyncIterable[Row]

BATCH = 10_000


@dataclass(frozen=True)
class Batch:
    """Encoded rows, column by column, and the index of each among all rows of the call."""

    table: Table
    columns: tuple[Column[Any], ...]
    values: list[list[Any]]
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        return zip(*self.values, strict=True)

    def keys(self, columns: Iterable[Column[Any]]) -> Iterator[tuple[Any, ...]]:
        """The values of these columns, for each row. Raises ValueError for a column that the rows do not have."""
        if missing := [column.key for column in columns if column not in self.columns]:
            raise ValueError(f"the rows have no {', '.join(missing)}")
        return zip(*(self.values[self.columns.index(column)] for column in columns), strict=True)

    def part(self, start: int, stop: int | None = None) -> "Batch":
        return replace(self, values=[column[start:stop] for column in self.values], numbers=self.numbers[start:stop])

    def pick(self, places: Sequence[int]) -> "Batch":
        picked = [[column[place] for place in places] for column in self.values]
        return replace(self, values=picked, numbers=[self.numbers[place] for place in places])

    def staging(self) -> Table:
        """The temporary table that such rows go to on the server."""
        return Table("bulk_rows", MetaData(), *(Column(column.name, column.type) for column in self.columns))


async def batches(
    target: Target, rows: Rows, *, defaults: Literal["default", "onupdate"] = "default"
) -> AsyncIterator[Batch]:
    """Batch by batch, with the columns of the first row. Raises ValueError for a row that has others."""
    encoder: _Encoder | None = None
    first = 0
    async for some in _lists(rows):
        encoder = encoder or _Encoder(target, some[0], defaults)
        yield Batch(encoder.table, encoder.columns, encoder.encode(some, first), range(first, first + len(some)))
        first += len(some)


class _Encoder:
    def __init__(self, target: Target, row: Row, defaults: Literal["default", "onupdate"]) -> None:
        self.table, known = columns_of(target)
        self._names = tuple(row)
        given = chosen(target, self._names)
        self._makers = [
            (column, _maker(column, made))
            for column in known.values()
            if column not in given and (made := getattr(column, defaults)) is not None and _needed(column, made)
        ]
        self.columns = (*given, *(column for column, _ in self._makers))
        self._processors = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in self.columns]

    def encode(self, rows: list[Row], first: int) -> list[list[Any]]:
        # Column by column: nearly all of the work is done in C, and no further object is made for each row.
        try:
            values = [list(map(itemgetter(name), rows)) for name in self._names]
        except KeyError:
            raise self._misfit(rows, first) from None
        if set(map(len, rows)) != {len(self._names)}:
            raise self._misfit(rows, first)
        values += ([make() for _ in rows] for _, make in self._makers)
        return [
            list(map(process, column)) if process else column
            for process, column in zip(self._processors, values, strict=True)
        ]

    def _misfit(self, rows: list[Row], first: int) -> ValueError:
        names = set(self._names)
        index, row = next((index, row) for index, row in enumerate(rows, first) if row.keys() != names)
        which = f"has no {min(names - row.keys())}" if names - row.keys() else f"has {min(row.keys() - names)} too"
        return ValueError(f"row {index} {which}: all rows have the names of the first one, {', '.join(self._names)}")


def _needed(column: Column[Any], made: Any) -> bool:
    """Whether Python makes the value. What an expression makes, only the server can."""
    if made.is_scalar or made.is_callable:
        return True
    if made.is_clause_element and made is column.default:
        raise ValueError(f"give each row its {column.key}: its default is an expression, which bulk rows cannot have")
    return False


def _maker(column: Column[Any], made: Any) -> Callable[[], Any]:
    if made.is_callable:
        return lambda: made.arg(None)
    return lambda: made.arg


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
