"""All that is particular to PostgreSQL and asyncpg: the server's ways, and transactions on a raw connection."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.database import errors
from app.database.connecting import RawConnection as RawConnection
from app.database.connecting import connect as connect
from app.database.isolation import IsolationLevel

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

LeftBehind: TypeAlias = Callable[[RawConnection], Awaitable[None]]


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
