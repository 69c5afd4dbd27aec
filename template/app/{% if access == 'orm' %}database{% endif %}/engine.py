"""SQLAlchemy's engine on our terms: connections in autocommit mode, transactions on the raw connection, our errors.

A writing engine for each isolation level shares the pool with the reading one, so that a read costs one round trip and
a write three (https://docs.sqlalchemy.org/en/21/core/connections.html#understanding-autocommit).
"""

from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, PoolProxiedConnection, event
from sqlalchemy.dialects import registry
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql import ClauseElement
from sqlalchemy.util import await_only

from app.database import driver
from app.database.connector import Connector
from app.database.errors import ReadOnlyServer, Retryable, ServerGone
from app.database.guards import refuse_write
from app.database.isolation import IsolationLevel
from app.database.metrics import timed
from app.database.translation import translate

if TYPE_CHECKING:
    from app.settings import DatabaseSettings


class _UnitsOnTheRawConnection:
    """What a dialect does with a connection, in the terms of `driver`: it alone knows whether a transaction is open."""

    connector: Connector

    def do_commit(self, dbapi_connection: Any) -> None:
        raw = dbapi_connection.driver_connection
        if raw.unit is not None:
            await_only(driver.commit(raw))

    def do_rollback(self, dbapi_connection: Any) -> None:
        raw = dbapi_connection.driver_connection
        if raw.unit is not None:
            await_only(driver.rollback(raw))

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        with timed(statement):
            cursor.execute(statement, parameters)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        with timed(statement):
            cursor.executemany(statement, parameters)

    def do_close(self, dbapi_connection: Any) -> None:
        await_only(self.connector.close(dbapi_connection.driver_connection))

    def do_terminate(self, dbapi_connection: Any) -> None:  # SQLAlchemy's own waits for a server that may be gone
        self.connector.abandon(dbapi_connection.driver_connection)


# https://docs.sqlalchemy.org/en/21/core/connections.html#registering-new-dialects
_url = make_url(f"{driver.DIALECT}://")
ServiceDialect = type(
    "ServiceDialect", (_UnitsOnTheRawConnection, _url.get_dialect()), {"supports_statement_cache": True}
)
registry.register(f"{_url.get_backend_name()}.service", __name__, "ServiceDialect")


def create_engine(settings: "DatabaseSettings", connector: Connector) -> AsyncEngine:
    """The engine that owns the pool, to be used by way of `for_reading` and `for_writing`."""
    engine = create_async_engine(
        f"{_url.get_backend_name()}+service://",
        async_creator=connector.connect,
        isolation_level="AUTOCOMMIT",
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_recycle=settings.pool_recycle,
        pool_use_lifo=True,  # surplus connections grow old instead of being kept busy in turn
        pool_reset_on_return=None,  # each session ends its transaction itself
    )
    engine.sync_engine.dialect.connector = connector  # type: ignore[attr-defined]  # of ServiceDialect
    event.listen(engine.sync_engine, "handle_error", _translate, retval=True)
    event.listen(engine.sync_engine, "checkin", _check_in)
    event.listen(engine.sync_engine, "checkout", partial(_check_out, connector))
    return engine


def for_reading(engine: AsyncEngine) -> AsyncEngine:
    """The same pool; each statement runs by itself, and what writes is refused."""
    reader = engine.execution_options(writing=False)
    event.listen(reader.sync_engine, "before_execute", _refuse_write)
    return reader


def for_writing(engine: AsyncEngine, isolation_level: IsolationLevel) -> AsyncEngine:
    """The same pool; the first statement of a session begins a transaction."""
    writer = engine.execution_options(writing=isolation_level)
    event.listen(writer.sync_engine, "begin", _begin)
    return writer


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
    # After a failover the next connection finds the new primary.
    context.is_disconnect = context.is_disconnect or isinstance(ours, ServerGone | ReadOnlyServer)
    if raw is not None and isinstance(ours, Retryable):
        driver.doom(raw)
    return ours


def _check_in(dbapi_connection: Any, record: ConnectionPoolEntry) -> None:
    raw = dbapi_connection and dbapi_connection.driver_connection  # None: invalidated before
    if raw and (driver.is_closed(raw) or driver.in_transaction(raw)):
        record.invalidate()
    record.info["idle_since"] = monotonic()


def _check_out(
    connector: Connector, dbapi_connection: Any, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
) -> None:
    # Not pool_pre_ping: it asks at every checkout, with up to three round trips.
    idle = monotonic() - record.info.get("idle_since", monotonic())
    if not await_only(connector.is_usable(dbapi_connection.driver_connection, idle)):
        raise DisconnectionError
