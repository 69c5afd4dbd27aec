"""How MySQL, MariaDB and aiomysql begin, commit and run: everything that is done on a raw connection."""

from collections.abc import Sequence
from typing import Any

import aiomysql

from app.database import dialect, errors
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
from app.database.rows import Ran

NAME, DIALECT, SCHEMES, PORT = (dialect.NAME, dialect.DIALECT, dialect.SCHEMES, dialect.PORT)
SEVERAL_HOSTS, SOCKET_HAS_PORT = dialect.SEVERAL_HOSTS, dialect.SOCKET_HAS_PORT
MIGRATION_LOCK, SPARE_CONNECTIONS = (dialect.MIGRATION_LOCK, dialect.SPARE_CONNECTIONS)
CONNECTION_LIMIT, POSITION, REACHED = (dialect.CONNECTION_LIMIT, dialect.POSITION, dialect.REACHED)

# After which errors the server has ended the transaction, and takes what comes next as statements of their own; and
# after which it has undone the statement alone, where PostgreSQL refuses all others up to a ROLLBACK TO SAVEPOINT.
ENDS_TRANSACTION = (errors.Deadlock, errors.SerializationFailure, errors.TransactionAborted)
NEEDS_SAVEPOINT = (errors.LockTimeout, errors.SchemaChanged, errors.StatementTimeout)


async def prepare(connection: RawConnection, sqlalchemy_dialect: Any) -> None:
    """SQLAlchemy's types take what aiomysql gives. Bytes come of what holds some: PyMySQL makes zeros of a number."""
    sqlalchemy_dialect.dbapi.Binary = memoryview


async def begin(connection: RawConnection, isolation_level: IsolationLevel) -> None:
    """Open a transaction that may write."""
    usual = connection.isolation_level == isolation_level
    level = "" if usual else f"SET TRANSACTION ISOLATION LEVEL {isolation_level}; "  # for this transaction only
    await _query(connection, f"{level}START TRANSACTION READ WRITE")  # one text, one round trip


async def commit(connection: RawConnection) -> None:
    """Raises unless the server says that it committed."""
    if not is_closed(connection) and not in_transaction(connection):
        raise errors.TransactionAborted
    await finish_stream(connection, keep=False)
    await connection.commit()


async def rollback(connection: RawConnection) -> None:
    await finish_stream(connection, keep=False)
    await connection.rollback()


async def run(connection: RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
    result = await _query(connection, statement % tuple(map(connection.escape, arguments)))
    return Ran(result.rows or (), result.description or None, result.affected_rows, result.insert_id)


run_one = run  # the protocol sends all rows in any case


async def _query(connection: RawConnection, text: str) -> Any:
    """Not by a cursor, which asks for each warning in a round trip of its own; the first result, all of them read."""
    await finish_stream(connection)
    await connection.query(text)
    result = connection._result
    while connection._result.has_next:  # a procedure's, or those of several statements
        await connection.next_result()
    if connection.has_zero_dates:
        connection.refuse_zero_dates(result.fields, result.rows)
    return result


class _Cursor(aiomysql.Cursor):  # type: ignore[misc]  # aiomysql ships no types
    async def _show_warnings(self, connection: RawConnection) -> None:
        pass


class _Stream(_Cursor, aiomysql.SSCursor):  # type: ignore[misc]
    pass


run_text = run  # as it stands but for a doubled %, as SQLAlchemy writes one


async def run_many(connection: RawConnection, statement: str, arguments: Sequence[Sequence[Any]]) -> Ran:
    """The statement for each; INSERT ... VALUES in one round trip for many."""
    await finish_stream(connection)
    cursor = await connection.cursor(_Cursor)
    count = await cursor.executemany(statement, arguments)
    return Ran((), None, count or 0, cursor.lastrowid)


async def stream(connection: RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
    """Rows that stay on the server until `more` fetches them, or another statement brings them to memory."""
    await finish_stream(connection)
    cursor = await connection.cursor(_Stream)
    await cursor.execute(statement, tuple(arguments))
    rest: list[Any] = []
    gone = False

    async def finish(keep: bool) -> None:
        nonlocal gone
        if cursor._result.unbuffered_active and keep:
            rest.extend(await connection.whole(cursor.fetchall()))
        elif cursor._result.unbuffered_active:
            gone = True
            await connection.whole(cursor._result._finish_unbuffered_query())

    async def more(size: int) -> Sequence[Any]:
        if gone:
            raise errors.StatementRefused("The rows of a stream go with its transaction: read them before its end")
        kept, rest[:size] = rest[:size], ()
        rows = kept or await connection.whole(cursor.fetchmany(size))
        if kept or connection.has_zero_dates:
            connection.refuse_zero_dates(cursor._result.fields, rows)
        return rows

    connection.finish_stream = finish
    return Ran((), cursor.description, -1, more=more)


async def finish_stream(connection: RawConnection, keep: bool = True) -> None:
    """The protocol cannot stop a result, nor send anything before its end; to `keep` its rest takes memory."""
    finish, connection.finish_stream = connection.finish_stream, None
    if finish is not None:
        await finish(keep)


async def forget(connection: RawConnection) -> None:
    """Nothing: each statement is sent as text."""


def in_transaction(connection: RawConnection) -> bool:
    """What the server said last: no round trip."""
    return not is_closed(connection) and bool(connection.get_transaction_status())


async def scalar(connection: RawConnection, query: str) -> Any:
    """The first column of the first row of a statement without parameters, None when it has no rows."""
    rows = (await _query(connection, query)).rows
    return rows[0][0] if rows else None
