"""Sessions of the `databases` library, on one pool that serves a read in one round trip and a write in three.

The library's Connection compiles queries and reads records; its pool and its transactions are not used: they keep a
connection for ever when BEGIN, COMMIT or ROLLBACK fails or is cancelled (encode/databases#498), hide the first error,
and bind connections to tasks, so that a child task silently leaves its parent's transaction (encode/databases#456).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from databases.core import Connection
from databases.interfaces import Record
from sqlalchemy.sql import ClauseElement

from app.database import driver
from app.database.errors import ReadOnlySession, Retryable, ServerGone, SessionClosed
from app.database.guards import refuse_write
from app.database.isolation import IsolationLevel
from app.database.pool import Pool
from app.database.raw import RawBackend, affected_rows
from app.database.translation import translated

if TYPE_CHECKING:
    from app.settings import DatabaseSettings

NAME = "databases"

Query = ClauseElement | str
Values = dict[str, Any] | None


class Session(Connection):
    """`databases.core.Connection` on one raw connection, for one task, until its unit of work ends."""

    def __init__(self, backend: RawBackend, raw: driver.RawConnection, *, writing: bool) -> None:
        super().__init__(database=None, backend=backend)  # type: ignore[arg-type]  # only its own acquiring needs one
        self._connection._connection = raw  # type: ignore[attr-defined]  # every backend's name for it
        self._writing = writing
        self._open = True
        self._savepoints = 0

    async def fetch_all(self, query: Query, values: Values = None) -> list[Record]:
        with self._guard(query):
            return await super().fetch_all(query, values)

    async def fetch_one(self, query: Query, values: Values = None) -> Record | None:
        with self._guard(query):
            return await super().fetch_one(query, values)

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
                return await affected_rows(self._connection, self._build_query(query, values))

    async def iterate(self, query: Query, values: Values = None) -> AsyncIterator[Any]:  # type: ignore[override]
        """The rows one by one. A read session has no transaction for a cursor, so it fetches them all first."""
        with self._guard(query):
            if not self._writing:
                for fetched in await super().fetch_all(query, values):
                    yield fetched
                return
            async with self._query_lock:
                async for record in self._connection.iterate(self._build_query(query, values)):
                    yield record

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

    @contextmanager
    def _guard(self, query: Query) -> Iterator[None]:
        if not self._open:
            raise SessionClosed
        if not self._writing:
            refuse_write(self._build_query(query))
        with _errors(self.raw_connection, writing=self._writing):
            yield

    def close(self) -> None:
        self._open = False
        self._connection._connection = None  # type: ignore[attr-defined]


@contextmanager
def _errors(raw: driver.RawConnection, *, writing: bool) -> Iterator[None]:
    """Our errors instead of the driver's; what they say of the connection is kept in mind."""
    try:
        with translated(writing=writing):
            yield
    except Retryable:
        driver.doom(raw)
        raise
    except ServerGone:
        driver.terminate(raw)
        raise


class Backend:
    """The pool and its two kinds of session.

    `connect` opens a raw connection and raises our errors; `abandon` drops one in an unknown state.
    """

    def __init__(
        self,
        settings: "DatabaseSettings",
        connect: Callable[[], Awaitable[driver.RawConnection]],
        abandon: Callable[[driver.RawConnection], None],
    ) -> None:
        self._pool = Pool(settings, connect, abandon)
        self._queries = RawBackend(f"{driver.SCHEMES[0]}://")

    @property
    def open_connections(self) -> int:
        return self._pool.open_connections

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        async with self._session(writing=False) as (session, _):
            yield session

    @asynccontextmanager
    async def writing(self, isolation_level: IsolationLevel) -> AsyncIterator[Session]:
        async with self._session(writing=True) as (session, raw):
            with _errors(raw, writing=True):
                await driver.begin(raw, isolation_level)
            try:
                yield session
                with _errors(raw, writing=True):
                    await driver.commit(raw)
            except Exception:
                if raw.unit is not None:
                    with suppress(Exception):  # the first error is the one that is seen
                        await driver.rollback(raw)
                raise

    async def close(self) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def _session(self, *, writing: bool) -> AsyncIterator[tuple[Session, driver.RawConnection]]:
        pooled = await self._pool.acquire()
        session = Session(self._queries, pooled.raw, writing=writing)
        try:
            yield session, pooled.raw
        except Exception:
            session.close()
            await self._pool.release(pooled)
            raise
        except BaseException:  # cancelled: a statement may still be under way
            session.close()
            self._pool.discard(pooled)
            raise
        session.close()
        await self._pool.release(pooled)
