"""Which columns are meant, by the names that rows use, of a table or a mapped class; how statements write them."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Column, PrimaryKeyConstraint, Table, UniqueConstraint, inspect, make_url
from sqlalchemy.engine import Dialect

from app.database.dialect import DIALECT

Target: TypeAlias = Table | type[Any]
Names: TypeAlias = str | Sequence[str]
Columns: TypeAlias = Sequence[Column[Any]]

# To encode values and to quote names. "named": a % in a name stays a %.
_dialect_of_driver: Any = make_url(f"{DIALECT}://").get_dialect()
dialect: Dialect = _dialect_of_driver(paramstyle="named", dbapi=_dialect_of_driver.import_dbapi())


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


def names(columns: Iterable[Column[Any]]) -> str:
    """As they stand in a statement."""
    return ", ".join(dialect.identifier_preparer.quote(column.name) for column in columns)


def is_unique(columns: Columns) -> bool:
    """Whether the table says that these columns together are unique."""
    table, together = columns[0].table, {column.name for column in columns}
    keys = [c.columns for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)]
    keys += [index.columns for index in table.indexes if index.unique]
    return any({column.name for column in key} == together for key in keys)
