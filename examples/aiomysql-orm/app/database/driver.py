"""All that is particular to MySQL, MariaDB and aiomysql: connecting, and transactions on a raw connection.

A connection runs each statement by itself and is READ ONLY, so a read costs one round trip and cannot write by
accident; a transaction says READ WRITE at its start. Behind a transaction-mode pooler nothing is kept per connection.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import aiomysql
import pymysql
from pymysql.constants import CLIENT
from sqlalchemy import DateTime
from sqlalchemy.dialects.mysql import DATETIME

from app.database import errors
from app.database.isolation import IsolationLevel

if TYPE_CHECKING:
    from app.database.url import Target
    from app.settings import DatabaseSettings

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

RawConnection: TypeAlias = Any  # aiomysql ships no types
LeftBehind: TypeAlias = Callable[[RawConnection], Awaitable[None]]


async def connect(target: "Target", settings: "DatabaseSettings", *, read_only: bool = True) -> RawConnection:
    """A connection in autocommit mode. Raises what aiomysql raises, and TimeoutError; `classify` knows them."""
    ssl_context = target.ssl_context()
    async with asyncio.timeout(settings.connect_timeout):  # aiomysql's own covers TCP, not the handshake
        connection = await aiomysql.connect(
            host="localhost" if target.socket else target.hosts[0][0],
            port=PORT if target.socket else target.hosts[0][1],
            unix_socket=target.socket,
            user=target.user,
            password=(target.password or "").encode().decode("latin1"),  # which aiomysql undoes; servers want UTF-8
            db=target.database,
            charset="utf8mb4",
            ssl=ssl_context,
            autocommit=True,
            client_flag=CLIENT.FOUND_ROWS,  # an UPDATE counts the rows that it matched, as PostgreSQL's does
            init_command=None if settings.external_pooler else _session(settings, read_only),
        )
    # aiomysql stays silently in plaintext where the server offers no TLS.
    if ssl_context and connection._writer.get_extra_info("ssl_object") is None:
        connection.close()
        raise errors.AccessDenied("The database server offers no TLS, which the URL asks for")
    connection.unit, connection.isolation_level = None, None if settings.external_pooler else settings.isolation_level
    return connection


def _session(settings: "DatabaseSettings", read_only: bool) -> str:
    """What holds for a connection's whole life, as one text and for both servers: each reads its own comments."""
    limits = ""
    if limit := settings.statement_timeout:
        seconds = max(1, round(limit))  # the default is a year for metadata, 50 s for rows
        limits = f""", innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}
            /*!80000 , max_execution_time = {limit * 1000:.0f} */ /*M! , max_statement_time = {limit} */"""
    return f"""SET NAMES utf8mb4;
        SET SESSION TRANSACTION ISOLATION LEVEL {settings.isolation_level}{", READ ONLY" if read_only else ""};
        SET SESSION time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'){limits}"""


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
