"""Sessions of SQLAlchemy's ORM, on one pool that serves a read in one round trip and a write in three.

Connections stay in autocommit mode. A writing engine for each isolation level shares the pool and opens and ends its
transactions on the raw connection (https://docs.sqlalchemy.org/en/21/core/connections.html#understanding-autocommit).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, get_args

from sqlalchemy import Connection, PoolProxiedConnection, event
from sqlalchemy.dialects import registry
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.sql import ClauseElement
from sqlalchemy.util import await_only

from app.database import driver
from app.database.errors import ReadOnlySession, Retryable, ServerGone
from app.database.guards import refuse_write
from app.database.isolation import IsolationLevel
from app.database.liveness import is_usable
from app.database.metadata import metadata
from app.database.translation import translate

if TYPE_CHECKING:
    from app.settings import DatabaseSettings

NAME = "orm"
Session = AsyncSession


class Base(DeclarativeBase):
    """The base of the mapped classes."""

    metadata = metadata


class _UnitsOnTheRawConnection:
    """What a dialect does with a connection, in the terms of `driver`: it alone knows whether a transaction is open."""

    abandon: Callable[[driver.RawConnection], None]

    def do_commit(self, dbapi_connection: Any) -> None:
        raw = dbapi_connection.driver_connection
        if raw.unit is not None:
            await_only(driver.commit(raw))

    def do_rollback(self, dbapi_connection: Any) -> None:
        raw = dbapi_connection.driver_connection
        if raw.unit is not None:
            await_only(driver.rollback(raw))

    def do_close(self, dbapi_connection: Any) -> None:
        await_only(driver.close(dbapi_connection.driver_connection))

    def do_terminate(self, dbapi_connection: Any) -> None:  # SQLAlchemy's own waits for a server that may be gone
        self.abandon(dbapi_connection.driver_connection)


_base_url = make_url(f"{driver.DIALECT}://")
ServiceDialect = type(
    "ServiceDialect", (_UnitsOnTheRawConnection, _base_url.get_dialect()), {"supports_statement_cache": True}
)
registry.register(f"{_base_url.get_backend_name()}.service", __name__, "ServiceDialect")


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
        engine = create_async_engine(
            f"{_base_url.get_backend_name()}+service://",
            async_creator=connect,
            isolation_level="AUTOCOMMIT",
            pool_size=settings.pool_size,
            max_overflow=settings.max_overflow,
            pool_recycle=settings.pool_recycle,
            pool_use_lifo=True,  # surplus connections grow old instead of being kept busy in turn
            pool_reset_on_return=None,  # each session ends its transaction itself
        )
        engine.sync_engine.dialect.abandon = abandon  # type: ignore[attr-defined]  # of ServiceDialect
        self._engine = engine
        self._reader = engine.execution_options(writing=False)
        self._writers = {level: engine.execution_options(writing=level) for level in get_args(IsolationLevel)}
        event.listen(self._reader.sync_engine, "before_execute", _refuse_write)
        for writer in self._writers.values():
            event.listen(writer.sync_engine, "begin", _begin)
        event.listen(engine.sync_engine, "handle_error", _translate, retval=True)
        event.listen(engine.sync_engine, "checkin", _note_idle)
        event.listen(engine.sync_engine, "checkout", _PrePing(settings))

    @property
    def open_connections(self) -> int:
        pool = self._engine.pool
        assert isinstance(pool, AsyncAdaptedQueuePool)
        return pool.checkedin() + pool.checkedout()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        async with _session(self._reader) as session:
            yield session
            if session.new or session.dirty or session.deleted:  # they would be dropped without a word
                raise ReadOnlySession

    @asynccontextmanager
    async def writing(self, isolation_level: IsolationLevel) -> AsyncIterator[Session]:
        async with _session(self._writers[isolation_level]) as session:
            try:
                yield session
                await session.commit()
            except BaseException:
                # session.begin() would raise the ROLLBACK's own error instead of the first one.
                with suppress(Exception):
                    await session.rollback()
                raise

    async def close(self) -> None:
        await self._engine.dispose()


def _session(engine: AsyncEngine) -> AsyncSession:
    # close_resets_only: a session that is used after its end would otherwise begin anew and never give back.
    return AsyncSession(engine, expire_on_commit=False, close_resets_only=False)


def _begin(connection: Connection) -> None:
    raw: driver.RawConnection = connection.connection.driver_connection
    try:
        await_only(driver.begin(raw, connection.get_execution_options()["writing"]))
    except BaseException as error:
        driver.terminate(raw)  # whether the transaction is open is not known
        raw.unit = None
        if ours := translate(error, writing=True):
            raise ours from error
        raise


def _refuse_write(connection: Connection, statement: ClauseElement, *_: object) -> None:
    refuse_write(statement)


def _translate(context: ExceptionContext) -> BaseException | None:
    if (connection := context.connection) is None:
        return translate(context.original_exception, writing=True)
    raw = None if connection.invalidated else connection.connection.driver_connection
    ours = translate(context.original_exception, writing=bool(connection.get_execution_options().get("writing")))
    context.is_disconnect = context.is_disconnect or isinstance(ours, ServerGone)
    if raw is not None and isinstance(ours, Retryable):
        driver.doom(raw)
    return ours


def _note_idle(dbapi_connection: Any, record: ConnectionPoolEntry) -> None:
    if dbapi_connection is not None and driver.in_transaction(dbapi_connection.driver_connection):
        record.invalidate()
    record.info["idle_since"] = monotonic()


class _PrePing:
    """The pool's own pre-ping tests every connection at every checkout, with up to three round trips."""

    def __init__(self, settings: "DatabaseSettings") -> None:
        self._settings = settings

    def __call__(self, dbapi_connection: Any, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
        idle = monotonic() - record.info.get("idle_since", monotonic())
        if not await_only(is_usable(dbapi_connection.driver_connection, idle, self._settings)):
            raise DisconnectionError
