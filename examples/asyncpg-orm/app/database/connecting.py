"""Opening and closing a connection to PostgreSQL. Until a transaction says READ WRITE each statement runs by itself and
read-only: so a read costs one round trip and cannot write by accident. Behind a transaction-mode pooler nothing is kept
per connection: the limits come with BEGIN.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any, ClassVar, TypeAlias

import asyncpg

from app.database import errors
from app.database.options import Options
from app.database.target import Target

RawConnection: TypeAlias = Any  # asyncpg ships no types
LeftBehind: TypeAlias = Callable[[RawConnection], Awaitable[None]]


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """asyncpg's connection, with room for what app/database/driver.py keeps: its own allows no attributes."""

    limits = ""  # of a transaction, where the session cannot have them
    pooled = False  # by a pooler in transaction mode
    leaving_state: frozenset[str] = frozenset()  # stored functions: app/database/functions.py
    is_elsewhere = False  # by its search path, to the end of the transaction: app/database/plans.py
    mark: ClassVar[str] = ""  # behind the texts that a pooler has plans of: app/database/pooler.py

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.plans: dict[str, tuple[Any, Any]] = {}
        self.keeps_plans = True
        self._numbers = count(1)

    async def plan(self, statement: str, stays: bool = True) -> Any:
        """The statement, prepared. Behind a pooler it has a name only where it stays; else it is sent each time."""
        if not stays:
            return await self.prepare(statement, name="")  # until the next one
        if self.pooled and self.keeps_plans:
            return await self.prepare(statement + self.mark, name=f"plan_{next(self._numbers)}")
        return await self.prepare(statement)

    async def _prepare(self, query: str, *, use_cache: bool = False, name: Any = None, **options: Any) -> Any:
        # COPY alone would use the cache, and then encode by the types that a table of this name had before.
        return await super()._prepare(query, use_cache=False, name="" if use_cache else name, **options)


async def connect(target: Target, options: Options, *, read_only: bool = True) -> RawConnection:
    """A connection in autocommit mode. Raises what asyncpg raises; `classify` knows it.

    Of several hosts the first that answers and has the wanted part (`target.session_attrs`): so it follows a failover.
    """
    hosts = [(target.socket, target.socket_port)] if target.socket else target.hosts
    limits = {
        "statement_timeout": _milliseconds(options.statement_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(options.transaction_timeout),
        "client_connection_check_interval": "1000",  # ends the statement of a client that has gone (PostgreSQL 14+)
    }
    # A pooler refuses unknown start-up parameters; BEGIN brings them along instead, in the same round trip.
    per_session = {**limits, "default_transaction_read_only": "on" if read_only else "off"}
    named = {"application_name": target.application_name} if target.application_name else {}
    open_at = partial(
        asyncpg.connect,
        user=target.user,
        database=target.database,
        timeout=options.connect_timeout / len(hosts),  # each its share: one that is switched off does not answer
        target_session_attrs=target.session_attrs,
        direct_tls=target.direct_tls,
        server_settings=named if options.external_pooler else per_session | named,
        statement_cache_size=0 if options.external_pooler else 100,
        connection_class=Connection,
    )

    async def open_with(host: str, port: int, tls: ssl.SSLContext | None, password: str) -> RawConnection:
        # Both always given: for each connection asyncpg otherwise reads ~/.pgpass and ~/.postgresql/*, which blocks.
        return await open_at(host=host, port=port, ssl=tls or False, password=password)

    async with asyncio.timeout(options.connect_timeout):  # where passwords come from may not answer either
        for number, (host, port) in enumerate(hosts, 1):
            try:
                connection = await target.authenticated(host, port, partial(open_with, host, port))
                break
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched) as error:
                if "rejected SSL upgrade" in str(error):
                    raise errors.AccessDenied("The database server offers no TLS, which the URL asks for") from error
                if number == len(hosts):
                    raise
    if options.external_pooler:
        connection.pooled, connection.keeps_plans = True, False
        connection.limits = " ".join(f"SET LOCAL {name} = {value};" for name, value in limits.items())
    return connection


def _milliseconds(seconds: float) -> str:
    """0, which is none, for 0 alone."""
    return str(max(1, round(seconds * 1000)) if seconds else 0)


def is_closed(connection: RawConnection) -> bool:
    """Whether the socket is known to be gone: no round trip."""
    return bool(connection.is_closed())


async def ping(connection: RawConnection) -> None:
    await connection.execute("SELECT")  # without a parameter: one round trip, also through a pooler


async def close(connection: RawConnection) -> None:
    """Say goodbye, but not for long: the network may have gone."""
    try:
        await connection.close(timeout=1)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):  # TimeoutError is an OSError
        terminate(connection)


retire = close  # of a connection whose session has a state: nothing of it, no lock either, is there afterwards


def terminate(connection: RawConnection) -> None:
    """Drop the connection without a word; the server rolls back."""
    connection.terminate()


def left_behind(connection: RawConnection) -> LeftBehind | None:
    """What ends the statement of a connection that is about to be dropped: PostgreSQL sees that its client has gone."""
    return None
