"""Rows, as a driver module gives them (`Ran`), and as `fetch_all` and `fetch_one` do (`Record`)."""

from collections.abc import Awaitable, Callable, Iterator, Sequence, ValuesView
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Row


@dataclass(slots=True)
class Ran:
    """Rows as the driver made them, the columns as the DB-API describes them, and the counts that the server gave."""

    rows: Sequence[Any]
    description: Any
    rowcount: int
    lastrowid: int | None = None
    more: Callable[[int], Awaitable[Sequence[Any]]] | None = None  # of a stream: as many further rows


class Record(Row[Any]):
    """SQLAlchemy's row, which is a mapping too, as those of `databases` are: `row.name`, `row["name"]`,
    `row[table.c.name]`, `row[0]`; `dict(row)` and iteration are by name.
    """

    __slots__ = ()

    @property
    def _mapping(self) -> dict[str, Any]:  # type: ignore[override]  # a dictionary: what validates data wants one
        return dict(zip(self._parent._keys, self._data, strict=True))

    def __repr__(self) -> str:
        return repr(self._mapping)

    def keys(self) -> list[str]:
        return list(self._parent._keys)

    def values(self) -> ValuesView[Any]:
        return self._mapping.values()

    def __contains__(self, key: object) -> bool:
        return key in self._parent._keys

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parent._keys)

    def __getitem__(self, key: Any) -> Any:
        if hasattr(key, "__clause_element__"):  # an attribute of a mapped class
            key = key.__clause_element__()
        return self._data[self._key_to_index[key] if isinstance(key, str | ColumnElement) else key]


def records_of(result: CursorResult[Any], rows: Sequence[Any]) -> list[Record]:
    """The driver's rows of this result, decoded as SQLAlchemy's."""
    metadata: Any = result._metadata
    processors, keys, names = (metadata._effective_processors, metadata._key_to_index, metadata._keys)
    # SQLAlchemy takes max_1 for the second of two calls of max(), whose own name is max_2 (2.1.9).
    for number, name in enumerate(names):
        if keys.get(name, number) != number and names.count(name) == 1:
            keys = {**keys, name: number}
    return [Record(metadata, processors, keys, row) for row in rows]
