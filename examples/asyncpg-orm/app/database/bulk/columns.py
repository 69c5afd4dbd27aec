"""Which columns are meant, by the names that rows use, of a table or a mapped class, and what makes them unique."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnDefault, Index, Integer, PrimaryKeyConstraint, Table, UniqueConstraint, inspect
from sqlalchemy.orm import InstrumentedAttribute

Target: TypeAlias = Table | type[Any]
Names: TypeAlias = str | Sequence[str]
Columns: TypeAlias = Sequence[Column[Any]]
Attributes: TypeAlias = Sequence[Column[Any] | InstrumentedAttribute[Any]]
Key: TypeAlias = PrimaryKeyConstraint | UniqueConstraint | Index


def columns_of(target: Target) -> tuple[Table, dict[str, Column[Any]]]:
    """The table, and its columns by the names that rows use: those of the attributes, for a mapped class."""
    if isinstance(target, Table):
        return target, dict(target.columns.items())
    mapper = inspect(target)
    table = mapper.local_table
    return table, {a.key: a.columns[0] for a in mapper.column_attrs if a.columns[0].table is table}


def made_by_class(target: Target) -> dict[Column[Any], ColumnDefault]:
    """What a mapped class gives each new row: of which class of a hierarchy it is, and its first version."""
    if isinstance(target, Table):
        return {}
    mapper, made = inspect(target), {}
    if mapper.polymorphic_identity is not None and isinstance(mapper.polymorphic_on, Column):
        made[mapper.polymorphic_on] = ColumnDefault(mapper.polymorphic_identity)
    if mapper.version_id_col is not None and (first := mapper.version_id_generator):
        made[mapper.version_id_col] = ColumnDefault(lambda: first(None))
    return {column: default for column, default in made.items() if column.table is mapper.local_table}


def version_of(target: Target) -> Column[Any] | None:
    """The number in which a mapped class counts the changes of a row."""
    if isinstance(target, Table):
        return None
    mapper = inspect(target)
    column: Column[Any] | None = mapper.version_id_col
    counts = column is not None and isinstance(column.type, Integer) and column.table is mapper.local_table
    return column if counts and mapper.version_id_generator else None


def chosen(target: Target, wanted: Names) -> tuple[Column[Any], ...]:
    """The columns of these names. Raises ValueError for one that the table does not have."""
    table, columns = columns_of(target)
    wanted = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    if unknown := [name for name in wanted if name not in columns]:
        raise ValueError(f"{table.name} has no column {', '.join(unknown)}")
    return tuple(columns[name] for name in wanted)


def plain(columns: Attributes) -> Columns:
    """Of attributes of a mapped class too. Raises ValueError for what is no column of one table."""
    found: list[Any] = [c.__clause_element__() if isinstance(c, InstrumentedAttribute) else c for c in columns]
    if not found or not all(isinstance(column, Column) and isinstance(column.table, Table) for column in found):
        raise ValueError("a key is columns of a table, as in [orders.c.id], or of a mapped class, as in [Order.id]")
    return found


def key_of(columns: Columns) -> Key | None:
    """What says that these columns together are unique; an index of expressions says nothing of columns."""
    table, together = columns[0].table, {column.name for column in columns}
    keys: list[Key] = [c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)]
    keys += [i for i in table.indexes if i.unique and all(isinstance(e, Column) for e in i.expressions)]
    return next((key for key in keys if {column.name for column in key.columns} == together), None)


def rows_of(key: Key) -> Any:
    """The condition of the rows that a partial index of PostgreSQL has; None for all of them."""
    return key.dialect_options["postgresql"]["where"] if isinstance(key, Index) else None
