"""Opening and closing a connection to MySQL or MariaDB. Until a transaction says READ WRITE each statement runs by
itself and read-only: so a read costs one round trip and cannot write by accident. Behind a transaction-mode pooler
nothing is kept per connection.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any, TypeAlias

import pymysql
from pymysql.constants import CLIENT

from app.database import errors
from app.database.options import Options
from app.database.raw import Connection
from app.database.target import Target

RawConnection: TypeAlias = Any  # aiomysql ships no types
LeftBehind: TypeAlias = Callable[[RawConnection], Awaitable[None]]

# Which server this is: by way of a proxy the next connection may be to another one.
SERVER = "SELECT CONCAT_WS(' ', @@hostname, @@port /*!80000 , @@server_uuid */ /*M! , @@datadir */)"
# Nothing is locked yet: a Galera node that has lost the others, and whose wsrep_sync_wait is on.
_NOT_SYNCED = 1205


async def connect(target: Target, options: Options, *, read_only: bool = True) -> RawConnection:
    """A connection in autocommit mode. Raises what aiomysql raises, and TimeoutError; `classify` knows them."""
    host, port = target.hosts[0] if target.hosts else ("localhost", target.socket_port)

    async def open_with(tls: ssl.SSLContext | None, password: str) -> RawConnection:
        connection = Connection(
            host=host,
            port=port,
            unix_socket=target.socket,
            user=target.user,
            password=password.encode().decode("latin1"),  # which aiomysql undoes; servers want UTF-8
            db=target.database,
            charset="utf8mb4",
            ssl=tls,
            autocommit=True,
            client_flag=CLIENT.FOUND_ROWS,  # an UPDATE counts the rows that it matched, as PostgreSQL's does
        )
        connection.opened, connection.server, connection.isolation_level = (monotonic(), None, None)
        try:
            await connection._connect()  # as aiomysql.connect() does
            if not options.external_pooler:
                await _set_up(connection, options, read_only)
        except BaseException:
            connection.close()
            raise
        return connection

    async with asyncio.timeout(options.connect_timeout):  # aiomysql's own covers TCP, not the handshake
        return await target.authenticated(target.socket or host, port, open_with)


async def _set_up(connection: RawConnection, options: Options, read_only: bool) -> None:
    """What holds for a connection's whole life, as one text and for both servers: each reads its own comments."""
    limits = ""
    if limit := options.statement_timeout:
        # The default is a year for metadata, 50 s for rows. Before the statement's own limit, else chance decides which
        # error it is; InnoDB looks once a second.
        seconds = max(1, round(limit) - 2)
        limits = f""", innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}
            /*!80000 , max_execution_time = {max(1, round(limit * 1000))} */ /*M! , max_statement_time = {limit} */"""
    text = f"""SET NAMES utf8mb4;
        SET SESSION TRANSACTION ISOLATION LEVEL {options.isolation_level}{", READ ONLY" if read_only else ""};
        SET SESSION time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'){limits};
        {SERVER}, @@max_allowed_packet"""
    try:
        await connection.query(text)
        while connection._result.has_next:
            await connection.next_result()
    except pymysql.err.OperationalError as error:
        if error.args[0] == _NOT_SYNCED:
            raise errors.ServerGone from error
        raise
    connection.server, connection.max_packet = connection._result.rows[0]
    connection.isolation_level = options.isolation_level


def is_closed(connection: RawConnection) -> bool:
    """Whether the socket is known to be gone: no round trip."""
    # Not at_eof(): what a killed session still said may lie unread before the end.
    return bool(connection.closed or connection._reader.eof_received or connection._reader.exception())


async def ping(connection: RawConnection) -> None:
    await connection.ping(reconnect=False)


async def close(connection: RawConnection) -> None:
    """Say goodbye, but not for long: the network may have gone."""
    if is_closed(connection):
        terminate(connection)
        return
    try:
        async with asyncio.timeout(1):
            await connection.ensure_closed()
    except OSError:  # TimeoutError is an OSError
        terminate(connection)


async def retire(connection: RawConnection) -> None:
    """Close a connection whose session has a state; nothing of it, no lock either, is there afterwards."""
    try:
        async with asyncio.timeout(1):
            await connection.query("DO RELEASE_ALL_LOCKS()")  # the server closes the socket before it lets go of them
        await close(connection)
    except (pymysql.MySQLError, OSError):
        terminate(connection)


def terminate(connection: RawConnection) -> None:
    """Drop the connection without a word; the server rolls back."""
    connection.close()


def left_behind(connection: RawConnection) -> LeftBehind | None:
    """What ends, over another connection, the statement of one that is about to be dropped.

    It runs on and keeps its locks, although the client gave up and closed the socket. A session's number is its
    server's own: by way of a proxy the other connection may be to another one, where it is somebody else's.
    """
    waits = connection._reader is not None and connection._reader._waiter is not None  # another task, for the reply
    unread = connection._close_reason  # which is set where a reply was not read to its end
    if connection.server is None or not (waits or unread):
        return None
    return partial(_end_session, connection.server, connection.opened, int(connection.thread_id()))


async def _end_session(server: str, opened: float, session_id: int, connection: RawConnection) -> None:
    await connection.query("SHOW GLOBAL STATUS LIKE 'Uptime'")
    uptime = int(connection._result.rows[0][1])
    if connection.server != server or uptime + 1 < monotonic() - opened:  # another one, or restarted
        return
    try:
        await connection.query(f"KILL {session_id}")  # not connection.kill(): MySQL 9 does not know its command
    except pymysql.err.OperationalError as error:
        if error.args[0] != 1094:  # it has ended by itself
            raise
