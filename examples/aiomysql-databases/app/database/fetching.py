"""The methods of a session that are the same in both access styles: rows, at the lowest cost that the driver allows."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CursorResult

from app.database import driver
from app.database.engine import Engine, Query, Values
from app.database.rows import Record, records_of
from app.database.unit import Unit


class Fetching:
    """On a unit of work. `values` are those of each bindparam(): a statement that is made once costs least."""

    _unit: Unit
    _engine: Engine

    async def fetch_all(self, query: Query, values: Values = None) -> list[Record]:
        """All rows; none for a statement that returns none."""
        return _records(await self._run(query, values))

    async def fetch_one(self, query: Query, values: Values = None) -> Record | None:
        """The first row."""
        records = _records(await self._run(query, values, driver.run_one))
        return records[0] if records else None

    async def fetch_val(self, query: Query, values: Values = None, column: Any = 0) -> Any:
        """A column of the first row, by number or by name; None when there is no row."""
        record = await self.fetch_one(query, values)
        return None if record is None else record[column]

    async def affected(self, query: Query, values: Values = None) -> int:
        """Run an UPDATE or DELETE; how many rows it matched."""
        return (await self._run(query, values)).rowcount

    async def _run(self, query: Query, values: Values, send: Any = driver.run) -> CursorResult[Any]:
        return await self._engine.execute(self._unit, query, values, send)

    @property
    def _options(self) -> Mapping[str, Any]:
        """SQLAlchemy's execution options of the session's connection."""
        return {}

    async def _flush(self) -> None:
        """Send what is kept back, before a statement that is not the session's own."""

    async def _finish(self) -> None:
        """At the end of the unit, before COMMIT."""

    def _close(self) -> None:
        """After the end, whatever it was."""


def _records(result: CursorResult[Any]) -> list[Record]:
    if not result.returns_rows:
        return []
    cursor: Any = result.cursor  # None: SQLAlchemy has read them, for what a RETURNING of its own has beside
    return records_of(result, result.all() if cursor is None else cursor.ran.rows)
