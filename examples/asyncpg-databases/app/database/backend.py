"""Sessions with the methods of the `databases` library, on a unit of work.

Of the library they have the interface alone: its pool and transactions keep a connection for ever when BEGIN, COMMIT or
ROLLBACK fails or is cancelled (encode/databases#498), and its records and its dialect lose what SQLAlchemy's know.
"""

from collections.abc import AsyncIterator
from typing import Any

from databases.core import Connection
from sqlalchemy import CursorResult, UpdateBase

from app.database import driver
from app.database.engine import Engine, Query, Values
from app.database.errors import StatementRefused
from app.database.fetching import Fetching
from app.database.rows import Record, records_of
from app.database.savepoint import Savepoint
from app.database.unit import Unit

NAME = "databases"


class Session(Fetching, Connection):  # type: ignore[misc]  # whose records have no type of their own
    """`databases.core.Connection` until its unit of work ends."""

    def __init__(self, engine: Engine, unit: Unit) -> None:  # not the library's, which would want its own pool
        self._engine, self._unit = engine, unit
        self._number = 0

    async def execute(self, query: Query, values: Values = None) -> Any:
        """For an INSERT of Core: the key that the server made. For the number of rows of another: `affected`."""
        result = await self._run(query, values)
        context: Any = result.context
        if context.isinsert and not context._is_explicit_returning:  # the RETURNING is SQLAlchemy's, if there is one
            return _inserted_key(result)
        return result.scalar() if result.returns_rows else None

    async def execute_many(self, query: Query, values: list[dict[str, Any]]) -> None:
        """The statement for each of the values, as one: when it fails, only a savepoint around it undoes it alone."""
        if values:
            await self._engine.execute_by_connection(self._unit, query, values)

    async def iterate(self, query: Query, values: Values = None) -> AsyncIterator[Record]:  # type: ignore[override]
        """The rows one by one. A read session has no transaction for a cursor, so it fetches them all first."""
        if not self._unit.writes:
            for record in await self.fetch_all(query, values):
                yield record
            return
        if isinstance(query, UpdateBase) and not query.returning_column_descriptions:
            await self._run(query, values)  # a RETURNING is SQLAlchemy's own, if there is one
            return
        result = await self._run(query, values, driver.stream)
        if not result.returns_rows:
            if (more := result.context.cursor.ran.more) is not None:  # a cursor runs its statement when it is asked
                await more(1)
            return
        cursor: Any = result.cursor
        while rows := await cursor.ran.more(100):
            for record in records_of(result, rows):
                yield record

    def transaction(self, *, force_rollback: bool = False, **options: Any) -> Savepoint:  # type: ignore[override]
        """A savepoint: what fails inside is undone alone. Raises StatementRefused for an isolation level: the unit of
        work has that from its start, `database.transaction(isolation_level=...)`.
        """
        if options:
            raise StatementRefused(f"A savepoint has no {', '.join(options)}: give it to database.transaction()")
        self._number += 1
        return Savepoint(self._unit, f"savepoint_{self._number}", force_rollback)

    @property
    def raw_connection(self) -> Any:
        """The library's way to the driver: what goes that way is not guarded. Use app.database.bulk, or `execute`."""
        raise StatementRefused("The driver's connection belongs to the unit of work: see docs/database.md")


def _inserted_key(result: CursorResult[Any]) -> Any:
    """The key, or its first column, that an INSERT of one row was given; None where the server does not tell."""
    context: Any = result.context
    key = None if context.executemany else result.inserted_primary_key
    return key[0] if key else None
