"""Which columns are meant, by the names that rows use, of a table or a mapped class, and what makes them unique."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint, inspect

Target: TypeAlias = Table | type[Any]
Names: TypeAlias = str | Sequence[str]
Columns: TypeAlias = Sequence[Column[Any]]
Key: TypeAlias = PrimaryKeyConstraint | UniqueConstraint | Index


def columns_of(target: Target) -> tuple[Table, dict[str, Column[Any]]]:
    """The table, and its columns by the names that rows use: those of the attributes, for a mapped class."""
    if isinstance(target, Table):
        return target, dict(target.columns.items())
    mapper = inspect(target)
    table = mapper.local_table
    return table, {a.key: a.columns[0] for a in mapper.column_attrs if a.columns[0].table is table}


def chosen(target: Target, wanted: Names) -> tuple[Column[Any], ...]:
    """The columns of these names. Raises ValueError for one that the table does not have."""
    table, columns = columns_of(target)
    wanted = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if unknown := [name for name in wanted if name not in columns]:
        raise ValueError(f"{table.name} has no column {', '.join(unknown)}")
    return tuple(columns[name] for name in wanted)


def key_of(columns: Columns) -> Key | None:
    """What says that these columns together are unique; an index of expressions says nothing of columns."""
    table, together = columns[0].table, {column.name for column in columns}
    keys: list[Key] = [c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)]
    keys += [i for i in table.indexes if i.unique and all(isinstance(e, Column) for e in i.expressions)]
    return next((key for key in keys if {column.name for column in key.columns} == together), None)


def rows_of(key: Key) -> Any:
    """The condition of the rows that a partial index of PostgreSQL has; None for all of them."""
    return key.dialect_options["postgresql"]["where"] if isinstance(key, Index) else None
