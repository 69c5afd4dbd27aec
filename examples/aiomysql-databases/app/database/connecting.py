"""Opening a connection to MySQL or MariaDB: each statement runs by itself and read-only, until a transaction says READ
WRITE. So a read costs one round trip and cannot write by accident. Behind a transaction-mode pooler nothing is kept per
connection.
"""

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import aiomysql
from pymysql.constants import CLIENT

from app.database import errors

if TYPE_CHECKING:
    from app.database.url import Target
    from app.settings import DatabaseSettings

RawConnection: TypeAlias = Any  # aiomysql ships no types


async def connect(target: "Target", settings: "DatabaseSettings", *, read_only: bool = True) -> RawConnection:
    """A connection in autocommit mode. Raises what aiomysql raises, and TimeoutError; `classify` knows them."""
    ssl_context = target.ssl_context()
    host, port = target.hosts[0] if target.hosts else ("localhost", target.socket_port)
    async with asyncio.timeout(settings.connect_timeout):  # aiomysql's own covers TCP, not the handshake
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
