"""Sessions with the methods of the `databases` library, on a unit of work.

Of the library they have the interface alone: its pool and transactions keep a connection for ever when BEGIN, COMMIT or
ROLLBACK fails or is cancelled (encode/databases#498), and its records and its dialect lose what SQLAlchemy's know.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from databases.core import Connection

from app.database import driver
from app.database.engine import Engine, Query, Values, inserted_key, is_plain_insert
from app.database.errors import StatementRefused
from app.database.fetching import Fetching
from app.database.rows import Record, records_of
from app.database.unit import Unit

NAME = "databases"


class Session(Fetching, Connection):  # type: ignore[misc]  # whose records have no type of their own
    """`databases.core.Connection` until its unit of work ends."""

    def __init__(self, engine: Engine, unit: Unit) -> None:  # not the library's, which would want its own pool
        self._engine, self._unit = engine, unit
        self._savepoints = 0

    async def execute(self, query: Query, values: Values = None) -> Any:
        """For an INSERT: the key that the server made. For the number of rows of another statement: `affected`."""
        result = await self._run(query, values)
        return inserted_key(result) if is_plain_insert(result) else result.scalar() if result.returns_rows else None

    async def execute_many(self, query: Query, values: list[dict[str, Any]]) -> None:
        """The statement for each of the values, as one."""
        if values:
            await self._engine.execute_by_connection(self._unit, query, values)

    async def iterate(self, query: Query, values: Values = None) -> AsyncIterator[Record]:  # type: ignore[override]
        """The rows one by one. A read session has no transaction for a cursor, so it fetches them all first."""
        if not self._unit.writes:
            for record in await self.fetch_all(query, values):
                yield record
            return
        result = await self._run(query, values, driver.stream)
        cursor: Any = result.cursor
        while rows := await cursor.ran.more(100):
            for record in records_of(result, rows):
                yield record

    @asynccontextmanager
    async def transaction(self, *, force_rollback: bool = False, **_: Any) -> AsyncIterator[None]:  # type: ignore[override]
        """A savepoint: what fails inside is undone alone."""
        self._savepoints += 1
        name = f"savepoint_{self._savepoints}"
        await self._unit.run(f"SAVEPOINT {name}", ())
        try:
            yield
        except BaseException:
            with suppress(Exception):
                await self._unit.run(f"ROLLBACK TO SAVEPOINT {name}", ())
            raise
        await self._unit.run(f"{'ROLLBACK TO' if force_rollback else 'RELEASE'} SAVEPOINT {name}", ())

    @property
    def raw_connection(self) -> Any:
        """The library's way to the driver: what goes that way is not guarded. Use app.database.bulk, or `execute`."""
        raise StatementRefused("The driver's connection belongs to the unit of work: see docs/database.md")
