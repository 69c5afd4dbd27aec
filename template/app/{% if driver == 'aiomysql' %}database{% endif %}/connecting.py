"""Opening a connection to MySQL or MariaDB: each statement runs by itself and read-only, until a transaction says READ
WRITE. So a read costs one round trip and cannot write by accident. Behind a transaction-mode pooler nothing is kept per
connection.
"""

import asyncio
from time import monotonic
from typing import Any, TypeAlias

import aiomysql
from pymysql.constants import CLIENT

from app.database import errors
from app.database.options import Options
from app.database.url import Target

RawConnection: TypeAlias = Any  # aiomysql ships no types

# Which server this is: by way of a proxy the next connection may be to another one.
SERVER = "SELECT CONCAT_WS(' ', @@hostname, @@port /*!80000 , @@server_uuid */ /*M! , @@datadir */)"


async def connect(target: Target, options: Options, *, read_only: bool = True) -> RawConnection:
    """A connection in autocommit mode. Raises what aiomysql raises, and TimeoutError; `classify` knows them."""
    ssl_context = target.ssl_context()
    host, port = target.hosts[0] if target.hosts else ("localhost", target.socket_port)
    async with asyncio.timeout(options.connect_timeout):  # aiomysql's own covers TCP, not the handshake
        connection = await aiomysql.connect(
            host=host,
            port=port,
            unix_socket=target.socket,
            user=target.user,
            password=(target.password or "").encode().decode("latin1"),  # which aiomysql undoes; servers want UTF-8
            db=target.database,
            charset="utf8mb4",
            ssl=ssl_context,
            autocommit=True,
            client_flag=CLIENT.FOUND_ROWS,  # an UPDATE counts the rows that it matched, as PostgreSQL's does
        )
        connection.opened, connection.server, connection.isolation_level = monotonic(), None, None
        try:
            # aiomysql stays silently in plaintext where the server offers no TLS.
            if ssl_context and connection._writer.get_extra_info("ssl_object") is None:
                raise errors.AccessDenied("The database server offers no TLS, which the URL asks for")
            if not options.external_pooler:
                await _set_up(connection, options, read_only)
        except BaseException:
            connection.close()
            raise
    return connection


async def _set_up(connection: RawConnection, options: Options, read_only: bool) -> None:
    """What holds for a connection's whole life, as one text and for both servers: each reads its own comments."""
    limits = ""
    if limit := options.statement_timeout:
        seconds = max(1, round(limit))  # the default is a year for metadata, 50 s for rows
        limits = f""", innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}
            /*!80000 , max_execution_time = {limit * 1000:.0f} */ /*M! , max_statement_time = {limit} */"""
    await connection.query(f"""SET NAMES utf8mb4;
        SET SESSION TRANSACTION ISOLATION LEVEL {options.isolation_level}{", READ ONLY" if read_only else ""};
        SET SESSION time_zone = '+00:00', sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'){limits};
        {SERVER}""")
    while connection._result.has_next:
        await connection.next_result()
    connection.server, connection.isolation_level = connection._result.rows[0][0], options.isolation_level
