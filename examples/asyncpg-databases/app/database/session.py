"""The session: the Connection of the `databases` library, which raises our errors and knows when it is over."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any

from databases.core import Connection
from databases.interfaces import Record
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import UpdateBase

from app.database import driver
from app.database.defaults import with_defaults
from app.database.errors import ReadOnlySession, SessionClosed
from app.database.guards import refuse_write
from app.database.metrics import timed
from app.database.raw import RawBackend, RawConnection
from app.database.translation import errors_of

Query = ClauseElement | str
Values = dict[str, Any] | None


class Session(Connection):
    """`databases.core.Connection` on one raw connection, for one task, until its unit of work ends."""

    _connection: RawConnection

    def __init__(self, backend: RawBackend, raw: driver.RawConnection, *, writing: bool) -> None:
        super().__init__(database=None, backend=backend)  # type: ignore[arg-type]  # only its own acquiring needs one
        self._connection._connection = raw  # every backend's name for it
        self._writing = writing
        self._open = True
        self._savepoints = 0

    async def fetch_all(self, query: Query, values: Values = None) -> list[Record]:
        """`values` are those of each bindparam(): a statement that is made once costs least."""
        with self._guard(query):
            async with self._query_lock:
                return await self._connection.fetch_all(*self._call(query, values))

    async def fetch_one(self, query: Query, values: Values = None) -> Record | None:
        """The first row; `values` as in `fetch_all`."""
        with self._guard(query):
            async with self._query_lock:
                record: Record | None = await self._connection.fetch_one(*self._call(query, values))
                return record

    async def fetch_val(self, query: Query, values: Values = None, column: Any = 0) -> Any:
        with self._guard(query):
            return await super().fetch_val(query, values, column)

    async def execute(self, query: Query, values: Values = None) -> Any:
        """For an INSERT: the key that the server made. For the number of rows of another statement: `affected`."""
        with self._guard(query):
            return await super().execute(query, values)

    async def execute_many(self, query: Query, values: list[dict[str, Any]]) -> None:
        with self._guard(query):
            await super().execute_many(query, values)

    async def affected(self, query: Query, values: Values = None) -> int:
        """Run an UPDATE or DELETE and return how many rows it matched, which the library does not tell."""
        with self._guard(query):
            async with self._query_lock:
                return await self._connection.affected(self._build_query(query, values))

    # The library calls its generator an AsyncGenerator of mappings; what comes are records.
    async def iterate(self, query: Query, values: Values = None) -> AsyncIterator[Any]:  # type: ignore[override]
        """The rows one by one. A read session has no transaction for a cursor, so it fetches them all first."""
        if not self._writing:
            for fetched in await self.fetch_all(query, values):
                yield fetched
            return
        with self._guard(query):
            records = self._connection.iterate(self._build_query(query, values))
        async with self._query_lock, aclosing(records):
            while True:
                with self._guard(query):  # around each fetch: what the caller does with a record is not the statement's
                    try:
                        record = await anext(records)
                    except StopAsyncIteration:
                        return
                yield record

    # The library's returns a Transaction that can be started and ended by hand; ours is for `async with` only.
    @asynccontextmanager
    async def transaction(self, *, force_rollback: bool = False, **_: Any) -> AsyncIterator[None]:  # type: ignore[override]
        """A savepoint: what fails inside is undone alone."""
        if not self._writing:
            raise ReadOnlySession
        self._savepoints += 1
        name = f"savepoint_{self._savepoints}"
        await self.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            with suppress(Exception):
                await self.execute(f"ROLLBACK TO SAVEPOINT {name}")
            raise
        await self.execute(f"{'ROLLBACK TO' if force_rollback else 'RELEASE'} SAVEPOINT {name}")

    @classmethod
    def _call(cls, query: Query, values: Values) -> tuple[ClauseElement, Values]:
        """The statement and the values that are no part of it: what inserts or updates takes them in."""
        if isinstance(query, UpdateBase):
            return cls._build_query(query, values), None
        return cls._build_query(query), values

    @staticmethod
    def _build_query(query: Query, values: Values = None) -> ClauseElement:
        return with_defaults(Connection._build_query(query, values))

    @contextmanager
    def _guard(self, query: Query) -> Iterator[None]:
        if not self._open:
            raise SessionClosed
        if not self._writing:
            refuse_write(Connection._build_query(query))
        with errors_of(self.raw_connection, writing=self._writing), timed(query):
            yield

    def close(self) -> None:
        self._open = False
        self._connection._connection = None
