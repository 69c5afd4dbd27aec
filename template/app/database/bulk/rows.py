"""Rows on their way to the driver: all of the same columns, completed with the defaults that Python makes, encoded as
SQLAlchemy would, and never more than a batch of them in memory.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, TypeAlias

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint, inspect, make_url
from sqlalchemy.engine import Dialect

from app.database import driver

Target: TypeAlias = Table | type[Any]
Row: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = Iterable[Row] | AsyncIterable[Row]
Names: TypeAlias = str | Sequence[str]

BATCH = 5_000

# To encode values and to quote names. "named": a % in a name stays a %.
_dialect_of_driver: Any = make_url(f"{driver.DIALECT}://").get_dialect()
dialect: Dialect = _dialect_of_driver(paramstyle="named")


@dataclass(frozen=True)
class Batch:
    """Encoded rows, and the index of each among all rows of the call."""

    table: Table
    columns: tuple[Column[Any], ...]
    rows: Sequence[tuple[Any, ...]]
    numbers: Sequence[int]

    def part(self, start: int, stop: int | None = None) -> "Batch":
        return replace(self, rows=self.rows[start:stop], numbers=self.numbers[start:stop])

    def staging(self) -> Table:
        """The temporary table that such rows go to on the server."""
        return Table("bulk_rows", MetaData(), *(Column(column.name, column.type) for column in self.columns))

    def positions(self, columns: Iterable[Column[Any]]) -> list[int]:
        """Where these columns stand in each row. Raises ValueError for one that the rows do not have."""
        if missing := [column.key for column in columns if column not in self.columns]:
            raise ValueError(f"the rows have no {', '.join(missing)}")
        return [self.columns.index(column) for column in columns]


def columns_of(target: Target) -> tuple[Table, dict[str, Column[Any]]]:
    """The table, and its columns by the names that rows use: those of the attributes, for a mapped class."""
    if isinstance(target, Table):
        return target, dict(target.columns.items())
    mapper = inspect(target)
    table = mapper.local_table
    return table, {a.key: a.columns[0] for a in mapper.column_attrs if a.columns[0].table is table}


def chosen(target: Target, names: Names) -> tuple[Column[Any], ...]:
    """The columns of these names. Raises ValueError for one that the table does not have."""
    table, columns = columns_of(target)
    names = (names,) if isinstance(names, str) else tuple(names)
    if unknown := [name for name in names if name not in columns]:
        raise ValueError(f"{table.name} has no column {', '.join(unknown)}")
    return tuple(columns[name] for name in names)


def is_unique(columns: Sequence[Column[Any]]) -> bool:
    """Whether the table says that these columns together are unique."""
    table, names = columns[0].table, {column.name for column in columns}
    keys = [c.columns for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)]
    keys += [index.columns for index in table.indexes if index.unique]
    return any({column.name for column in key} == names for key in keys)


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
        found = (column.type.dialect_impl(dialect).bind_processor(dialect) for column in self.columns)
        self._processors = [(position, process) for position, process in enumerate(found) if process]

    def encode(self, rows: list[Row], first: int) -> list[tuple[Any, ...]]:
        names, width, makers, processors = self._names, len(self._names), self._makers, self._processors
        encoded = []
        for index, row in enumerate(rows, first):
            try:
                values = [row[name] for name in names]
            except KeyError as missing:
                raise ValueError(f"row {index} has no {missing}, which the first row has") from None
            if len(row) != width:
                raise ValueError(f"row {index} has {', '.join(row.keys() - set(names))}, which the first row has not")
            for _, make in makers:
                values.append(make())
            for position, process in processors:
                values[position] = process(values[position])
            encoded.append(tuple(values))
        return encoded


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
