"""Values as an ordinary INSERT or UPDATE sends them: by SQLAlchemy's types, with the defaults that Python makes."""

from collections.abc import Callable, Mapping
from itertools import repeat
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from sqlalchemy import Column
from sqlalchemy.engine import Dialect

from app.database.bulk.columns import Target, chosen, columns_of, made_by_class
from app.database.errors import DatabaseError, InvalidValue

Row: TypeAlias = Mapping[str, Any]


class Encoder:
    """For rows with the names of the first one. Raises ValueError for columns that bulk rows cannot have."""

    def __init__(self, dialect: Dialect, target: Target, row: Row, defaults: Literal["default", "onupdate"]) -> None:
        self.table, _ = columns_of(target)
        if not hasattr(row, "keys"):
            raise ValueError(f"a row is a mapping of names to values, not a {type(row).__name__}")
        self._names = tuple(row)
        given = chosen(target, self._names)
        of_rows = {*given}
        others: dict[Column[Any], Any] = {c: getattr(c, defaults) for c in self.table.columns}  # of siblings, too
        if defaults == "default":
            others |= made_by_class(target)
        self._makers = [
            (column, made)
            for column, made in others.items()
            if made is not None and column not in of_rows and _needed(column, made)
        ]
        self.columns = (*given, *(column for column, _ in self._makers))
        if not self.columns:
            raise ValueError("the rows have no columns: give each one at least")
        for column in self.columns:
            _refuse(column)
        self._processors = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in self.columns]

    def encode(self, rows: list[Row], first: int) -> list[list[Any]]:
        # Column by column: nearly all of the work is done in C, and no further object is made for each row.
        try:
            values = [list(map(itemgetter(name), rows)) for name in self._names]
        except KeyError:
            raise self._misfit(rows, first) from None
        if set(map(len, rows)) != {len(self._names)}:
            raise self._misfit(rows, first)
        for _, made in self._makers:  # in their order: one may ask for what another one has made
            if made.is_callable:
                names = [column.key for column in self.columns[: len(values)]]
                given = zip(*values, strict=True) if values else repeat((), len(rows))
                values.append([made.arg(_Context(names, row)) for row in given])
            else:
                values.append([made.arg] * len(rows))
        return [
            _encoded(process, column, first) if process else column
            for process, column in zip(self._processors, values, strict=True)
        ]

    def _misfit(self, rows: list[Row], first: int) -> ValueError:
        names = set(self._names)
        index, row = next((index, row) for index, row in enumerate(rows, first) if row.keys() != names)
        which = f"has no {min(names - row.keys())}" if names - row.keys() else f"has {min(row.keys() - names)} too"
        return ValueError(f"row {index} {which}: all rows have the names of the first one, {', '.join(self._names)}")


class _Context:
    """What a default that depends on the row's other values asks for, by the columns' names."""

    def __init__(self, names: list[str], values: tuple[Any, ...]) -> None:
        self._names, self._values = names, values

    @property
    def current_parameters(self) -> Row:
        return dict(zip(self._names, self._values, strict=True))

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> Row:
        return self.current_parameters


def _encoded(process: Callable[[Any], Any], values: list[Any], first: int) -> list[Any]:
    encoded: list[Any] = []
    try:
        encoded.extend(map(process, values))
    except Exception as error:  # of the type's own; what came before it is encoded
        number = first + len(encoded)
        if isinstance(error, OverflowError):
            raise InvalidValue(row=number) from error
        if isinstance(error, DatabaseError):
            error.row = number
        else:
            error.add_note(f"of row {number}")
        raise
    return encoded


def _needed(column: Column[Any], made: Any) -> bool:
    """Whether Python makes the value. An expression can stand in the statement of an UPDATE, not beside bulk rows."""
    if made.is_scalar or made.is_callable:
        return True
    if made is column.default:
        raise ValueError(f"give each row its {column.key}: its default is an expression, which bulk rows cannot have")
    return False


def _refuse(column: Column[Any]) -> None:
    if column.computed is not None or (column.identity is not None and column.identity.always):
        raise ValueError(f"leave {column.key} out: the server alone makes it")
    if column.type._has_bind_expression:
        raise ValueError(f"leave {column.key} out: its type writes an expression, which bulk rows cannot have")
