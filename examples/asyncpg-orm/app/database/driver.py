"""All that is particular to PostgreSQL and asyncpg: connecting, and transactions on a raw connection.

A connection runs each statement by itself and read-only, so a read costs one round trip and cannot write by accident;
a transaction says READ WRITE in its BEGIN. Behind a transaction-mode pooler nothing is kept per connection.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.database import errors
from app.database.isolation import IsolationLevel

if TYPE_CHECKING:
    from app.database.url import Target
    from app.settings import DatabaseSettings

NAME = "asyncpg"
SERVER = "PostgreSQL"
SCHEMES = ("postgresql", "postgres")
PORT = 5432
SEVERAL_HOSTS = True
SOCKET_HAS_PORT = True  # in its name
DIALECT = "postgresql+asyncpg"
TIMESTAMP_TYPE: DateTime = TIMESTAMP(timezone=True)
# One migration at a time, until the transaction ends. The number is ours; such locks are the database's own.
MIGRATION_LOCK = "SELECT 1 FROM pg_advisory_xact_lock(7021601)"
SPARE_CONNECTIONS = 1  # beside the pool: readiness
CONNECTION_LIMIT = """
    SELECT least(nullif(rolconnlimit, -1), nullif(datconnlimit, -1),
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int)
    FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()
"""

RawConnection: TypeAlias = Any  # asyncpg ships no types
LeftBehind: TypeAlias = Callable[[RawConnection], Awaitable[None]]


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """asyncpg's connection with the two things that its transactions cannot say or see."""

    transaction_settings = ""
    unit: Any = None

    async def execute(self, query: str, *args: Any, **options: Any) -> str:
        if query.startswith("BEGIN"):  # Transaction knows READ ONLY but not its opposite
            query = f"{query.removesuffix(';')} READ WRITE; {self.transaction_settings}"
        status: str = await super().execute(query, *args, **options)
        if query == "COMMIT;" and status == "ROLLBACK":  # the server says no more than that after an earlier error
            raise errors.TransactionAborted
        return status


async def connect(target: "Target", settings: "DatabaseSettings", *, read_only: bool = True) -> RawConnection:
    """A connection in autocommit mode. Raises what asyncpg raises; `classify` knows it.

    Of several hosts the first that answers and has the wanted part (`target.session_attrs`): so it follows a failover.
    """
    hosts = [(target.socket, target.socket_port)] if target.socket else target.hosts
    limits = {
        "statement_timeout": f"{settings.statement_timeout * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{settings.transaction_timeout * 1000:.0f}",
        "client_connection_check_interval": "1000",  # ends the statement of a client that has gone (PostgreSQL 14+)
    }
    # A pooler refuses unknown start-up parameters; BEGIN brings them along instead, in the same round trip.
    per_session = {**limits, "default_transaction_read_only": "on" if read_only else "off"}
    open_at = partial(
        asyncpg.connect,
        user=target.user,
        database=target.database,
        # Always given: for each connection asyncpg otherwise reads ~/.pgpass and ~/.postgresql/*, and blocks the loop.
        password=target.password or "",
        ssl=target.ssl_context() or False,
        timeout=settings.connect_timeout / len(hosts),  # each its share: one that is switched off does not answer
        target_session_attrs=target.session_attrs,
        server_settings=None if settings.external_pooler else per_session,
        statement_cache_size=0 if settings.external_pooler else 100,
        connection_class=Connection,
    )
    for number, (host, port) in enumerate(hosts, 1):
        try:
            connection = await open_at(host=host, port=port)
            break
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched) as error:
            if "rejected SSL upgrade" in str(error):
                raise errors.AccessDenied("The database server offers no TLS, which the URL asks for") from error
            if number == len(hosts):
                raise
    if settings.external_pooler:
        connection.transaction_settings = " ".join(f"SET LOCAL {name} = {value};" for name, value in limits.items())
    return connection


async def begin(connection: RawConnection, isolation_level: IsolationLevel) -> None:
    """Open a transaction that may write. `connection.unit` is set from here to its end."""
    connection.unit = connection.transaction(isolation=isolation_level.lower().replace(" ", "_"))
    try:
        await connection.unit.start()
    except asyncpg.FeatureNotSupportedError:  # a standby's answer to READ WRITE
        raise errors.ReadOnlyServer from None


async def commit(connection: RawConnection) -> None:
    """Raises unless the server says that it committed."""
    unit, connection.unit = connection.unit, None
    await unit.commit()


async def rollback(connection: RawConnection) -> None:
    unit, connection.unit = connection.unit, None
    await unit.rollback()


def doom(connection: RawConnection) -> None:
    """After an error that ended the transaction: PostgreSQL itself remembers, until ROLLBACK."""


def in_transaction(connection: RawConnection) -> bool:
    """What the server said last: no round trip."""
    return not is_closed(connection) and bool(connection.is_in_transaction())


def is_closed(connection: RawConnection) -> bool:
    """Whether the socket is known to be gone: no round trip."""
    return bool(connection.is_closed())


async def scalar(connection: RawConnection, query: str) -> Any:
    """The first column of the first row of a statement without parameters, None when it has no rows."""
    return await connection.fetchval(query)


async def ping(connection: RawConnection) -> None:
    await connection.execute("SELECT")  # without a parameter: one round trip, also through a pooler


async def close(connection: RawConnection) -> None:
    """Say goodbye, but not for long: the network may have gone."""
    try:
        await connection.close(timeout=1)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # TimeoutError is an OSError
        terminate(connection)


def terminate(connection: RawConnection) -> None:
    """Drop the connection without a word; the server rolls back."""
    connection.terminate()


def left_behind(connection: RawConnection) -> LeftBehind | None:
    """What ends the statement of a connection that is about to be dropped: PostgreSQL sees that its client has gone."""
    return None
