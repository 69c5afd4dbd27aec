"""How PostgreSQL and asyncpg begin, commit and run: everything that is done on a raw connection."""

from collections.abc import Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import asyncpg

from app.database import codecs, dialect, errors, pooler
from app.database.connecting import LeftBehind as LeftBehind
from app.database.connecting import RawConnection as RawConnection
from app.database.connecting import close as close
from app.database.connecting import connect as connect
from app.database.connecting import is_closed as is_closed
from app.database.connecting import left_behind as left_behind
from app.database.connecting import ping as ping
from app.database.connecting import retire as retire
from app.database.connecting import terminate as terminate
from app.database.options import IsolationLevel
from app.database.plans import columns_of, fetched, plan_of
from app.database.rows import Ran

NAME, DIALECT, SCHEMES, PORT = (dialect.NAME, dialect.DIALECT, dialect.SCHEMES, dialect.PORT)
SEVERAL_HOSTS, SOCKET_HAS_PORT = dialect.SEVERAL_HOSTS, dialect.SOCKET_HAS_PORT
MIGRATION_LOCK, SPARE_CONNECTIONS = (dialect.MIGRATION_LOCK, dialect.SPARE_CONNECTIONS)
CONNECTION_LIMIT, POSITION, REACHED = (dialect.CONNECTION_LIMIT, dialect.POSITION, dialect.REACHED)

# After which errors the transaction is over although the server does not refuse what comes next, and after which it
# goes on, but not as if nothing had been: PostgreSQL itself remembers both, until ROLLBACK.
ENDS_TRANSACTION: tuple[type[errors.DatabaseError], ...] = ()
NEEDS_SAVEPOINT: tuple[type[errors.DatabaseError], ...] = ()


async def prepare(connection: RawConnection, sqlalchemy_dialect: Any) -> None:
    """Let a new connection send and return JSON as SQLAlchemy's types expect, and keep its plans where it can."""
    adapter = SimpleNamespace(_connection=connection)
    await sqlalchemy_dialect.setup_asyncpg_json_codec(adapter)
    await sqlalchemy_dialect.setup_asyncpg_jsonb_codec(adapter)
    await codecs.set_up(connection)
    if connection.pooled:
        connection.keeps_plans = await pooler.keeps_plans(connection)


async def begin(connection: RawConnection, isolation_level: IsolationLevel) -> None:
    """Open a transaction that may write."""
    connection.is_elsewhere = False
    try:
        await connection.execute(f"BEGIN ISOLATION LEVEL {isolation_level} READ WRITE; {connection.limits}")
    except asyncpg.FeatureNotSupportedError:  # a standby's answer to READ WRITE
        raise errors.ReadOnlyServer from None


async def commit(connection: RawConnection) -> None:
    """Raises unless the server says that it committed; after an earlier error it says ROLLBACK, and no more."""
    if not is_closed(connection) and not in_transaction(connection):
        raise errors.TransactionAborted
    if await connection.execute("COMMIT") == "ROLLBACK":
        raise errors.TransactionAborted


async def rollback(connection: RawConnection) -> None:
    await connection.execute("ROLLBACK")


async def run(connection: RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
    plan, description = await plan_of(connection, statement, arguments)
    rows = await fetched(connection, statement, plan, plan.fetch(*arguments))
    return _ran(plan, rows, description)


async def run_one(connection: RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
    """As `run`, but no more than the first row is sent."""
    plan, description = await plan_of(connection, statement, arguments)
    row = await fetched(connection, statement, plan, plan.fetchrow(*arguments))
    return _ran(plan, [] if row is None else [row], description)


def _ran(plan: Any, rows: Sequence[Any], description: Any) -> Ran:
    count = (plan.get_statusmsg() or "").rpartition(" ")[2]
    return Ran(rows, description, int(count) if count.isdecimal() else -1)


async def run_text(connection: RawConnection, statement: str, arguments: Sequence[Any] = ()) -> Ran:
    """The statement as it stands, without parameters and without a plan."""
    count = (await connection.execute(statement)).rpartition(" ")[2]
    return Ran((), None, int(count) if count.isdecimal() else 0)


async def run_many(connection: RawConnection, statement: str, arguments: Sequence[Sequence[Any]]) -> Ran:
    """The statement for each, in one round trip for many; nobody says how many rows it matched."""
    plan, _ = await plan_of(connection, statement, arguments)
    try:
        await fetched(connection, statement, plan, plan.executemany(arguments))
    except Exception:
        if in_transaction(connection):  # a value that cannot be encoded is found when others have been sent
            with suppress(asyncpg.PostgresError):  # which it has to be: then nothing may follow, as after any error
                await connection.execute('ROLLBACK TO SAVEPOINT "not all rows could be sent"')
        raise
    return Ran([], None, -1)


async def stream(connection: RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
    """A server-side cursor of the transaction: `more` fetches from it."""
    codecs.refuse_beyond_numeric(arguments)
    plan = await connection.plan(statement)
    cursor = await plan.cursor(*arguments)

    async def more(size: int) -> Sequence[Any]:  # fetch() raises when it is called, where the connection is closed
        rows: Sequence[Any] = await fetched(connection, statement, plan, cursor.fetch(size))
        return rows

    return Ran([], columns_of(plan), -1, more=more)


async def forget(connection: RawConnection) -> None:
    """What connection and server remember of tables and types, which a migration has changed."""
    connection.plans.clear()
    if connection.pooled and connection.keeps_plans:
        pooler.forget_plans(type(connection))
    await connection.reload_schema_state()


def in_transaction(connection: RawConnection) -> bool:
    """What the server said last: no round trip."""
    return not is_closed(connection) and bool(connection.is_in_transaction())


async def scalar(connection: RawConnection, query: str) -> Any:
    """The first column of the first row of a statement without parameters, None when it has no rows."""
    return await connection.fetchval(query)
