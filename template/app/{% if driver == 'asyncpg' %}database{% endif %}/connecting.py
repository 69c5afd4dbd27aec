"""Opening a connection to PostgreSQL: each statement runs by itself and read-only, until a transaction says READ WRITE.

So a read costs one round trip and cannot write by accident. Behind a transaction-mode pooler nothing is kept per
connection: the limits come with BEGIN.
"""

from functools import partial
from typing import Any, TypeAlias

import asyncpg

from app.database import errors
from app.database.options import Options
from app.database.url import Target

RawConnection: TypeAlias = Any  # asyncpg ships no types


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """asyncpg's connection, with room for what app/database/driver.py keeps: its own allows no attributes."""

    limits = ""  # of a transaction, where the session cannot have them

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.plans: dict[str, tuple[Any, Any]] = {}
        self.keeps_plans = True


async def connect(target: Target, options: Options, *, read_only: bool = True) -> RawConnection:
    """A connection in autocommit mode. Raises what asyncpg raises; `classify` knows it.

    Of several hosts the first that answers and has the wanted part (`target.session_attrs`): so it follows a failover.
    """
    hosts = [(target.socket, target.socket_port)] if target.socket else target.hosts
    limits = {
        "statement_timeout": f"{options.statement_timeout * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{options.transaction_timeout * 1000:.0f}",
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
        timeout=options.connect_timeout / len(hosts),  # each its share: one that is switched off does not answer
        target_session_attrs=target.session_attrs,
        server_settings=None if options.external_pooler else per_session,
        statement_cache_size=0 if options.external_pooler else 100,
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
    if options.external_pooler:
        connection.keeps_plans = False
        connection.limits = " ".join(f"SET LOCAL {name} = {value};" for name, value in limits.items())
    return connection
