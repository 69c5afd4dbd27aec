"""Rows as `fetch_all` and `fetch_one` give them: SQLAlchemy's, which are mappings too, as those of `databases` are."""

from collections.abc import Iterator, Sequence, ValuesView
from typing import Any

from sqlalchemy import Column, CursorResult, Row


class Record(Row[Any]):
    """`row.name`, `row["name"]`, `row[table.c.name]`, `row[0]`; `dict(row)`, `**row` and iteration are by name."""

    __slots__ = ()

    @property
    def _mapping(self) -> dict[str, Any]:  # type: ignore[override]  # a dictionary: what validates data wants one
        return dict(zip(self._parent._keys, self._data, strict=True))

    def keys(self) -> list[str]:
        return list(self._parent._keys)

    def values(self) -> ValuesView[Any]:
        return self._mapping.values()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parent._keys)

    def __getitem__(self, key: Any) -> Any:
        return self._data[self._key_to_index[key] if isinstance(key, str | Column) else key]


def records_of(result: CursorResult[Any], rows: Sequence[Any]) -> list[Record]:
    """The driver's rows of this result, decoded as SQLAlchemy's."""
    metadata: Any = result._metadata
    processors, keys = metadata._effective_processors, metadata._key_to_index
    return [Record(metadata, processors, keys, row) for row in rows]
