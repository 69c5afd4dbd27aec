"""All that is particular to MySQL, MariaDB and aiomysql: the server's ways, and transactions on a raw connection."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import pymysql
from sqlalchemy import DateTime
from sqlalchemy.dialects.mysql import DATETIME

from app.database import errors
from app.database.connecting import RawConnection as RawConnection
from app.database.connecting import connect as connect
from app.database.isolation import IsolationLevel

NAME = "aiomysql"
SERVER = "MySQL and MariaDB"
SCHEMES = ("mysql", "mariadb")
PORT = 3306
SEVERAL_HOSTS = False
SOCKET_HAS_PORT = False
DIALECT = "mysql+aiomysql"
TIMESTAMP_TYPE: DateTime = DATETIME(fsp=6)  # without fsp microseconds are rounded, 23:59:59.6 into the next day
# One migration at a time, until the connection closes. Such locks are the server's: the name has the database's in it.
MIGRATION_LOCK = "SELECT GET_LOCK(CONCAT('migrate:', SHA2(DATABASE(), 224)), 600)"
SPARE_CONNECTIONS = 2  # beside the pool: readiness, and ending what was given up
CONNECTION_LIMIT = "SELECT LEAST(@@max_connections, IF(@@max_user_connections, @@max_user_connections, 1000000))"

LeftBehind: TypeAlias = Callable[[RawConnection], Awaitable[None]]


async def begin(connection: RawConnection, isolation_level: IsolationLevel) -> None:
    """Open a transaction that may write. `connection.unit` is set from here to its end."""
    usual = connection.isolation_level == isolation_level
    level = "" if usual else f"SET TRANSACTION ISOLATION LEVEL {isolation_level}; "  # for this transaction only
    connection.unit = "open"
    async with connection.cursor() as cursor:
        await cursor.execute(f"{level}START TRANSACTION READ WRITE")  # one text, one round trip


async def commit(connection: RawConnection) -> None:
    """Raises unless the server says that it committed."""
    if connection.unit == "doomed" or not (is_closed(connection) or in_transaction(connection)):
        raise errors.TransactionAborted
    connection.unit = None
    await connection.commit()


async def rollback(connection: RawConnection) -> None:
    connection.unit = None
    await connection.rollback()


def doom(connection: RawConnection) -> None:
    """After an error that ended the transaction: further statements would run alone, and COMMIT would still say OK."""
    connection.unit = "doomed"


def in_transaction(connection: RawConnection) -> bool:
    """What the server said last: no round trip."""
    return not is_closed(connection) and bool(connection.get_transaction_status())


def is_closed(connection: RawConnection) -> bool:
    """Whether the socket is known to be gone: no round trip."""
    # Not at_eof(): what a killed session still said may lie unread before the end.
    return bool(connection.closed or connection._reader.eof_received or connection._reader.exception())


async def scalar(connection: RawConnection, query: str) -> Any:
    """The first column of the first row of a statement without parameters, None when it has no rows."""
    async with connection.cursor() as cursor:
        await cursor.execute(query)
        row = await cursor.fetchone()
        return row[0] if row else None


async def ping(connection: RawConnection) -> None:
    await connection.ping(reconnect=False)


async def close(connection: RawConnection) -> None:
    """Say goodbye, but not for long: the network may have gone."""
    try:
        async with asyncio.timeout(1):
            await connection.ensure_closed()
    except OSError:  # TimeoutError is an OSError
        terminate(connection)


def terminate(connection: RawConnection) -> None:
    """Drop the connection without a word; the server rolls back."""
    connection.close()


def left_behind(connection: RawConnection) -> LeftBehind | None:
    """What ends, over another connection, the statement of one that is about to be dropped.

    It runs on and keeps its locks, although the client gave up and closed the socket.
    """
    if not connection._close_reason:  # set when a read was cancelled
        return None
    return partial(_end_session, int(connection.thread_id()))


async def _end_session(session_id: int, connection: RawConnection) -> None:
    try:
        await scalar(connection, f"KILL {session_id}")  # not connection.kill(): MySQL 9 does not know its command
    except pymysql.err.OperationalError as error:
        if error.args[0] != 1094:  # it has ended by itself
            raise
