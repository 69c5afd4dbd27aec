"""What the tests must know of this server: how to ask it about sessions, how to make it fail."""

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import insert, make_url, text
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.sql import ClauseElement

from app.database import DatabaseError, InvalidValue, Session, UniqueViolation, driver
from tests.probes import probe, probes
from tests.statements import rows, run, value

SESSION_ID = "SELECT pg_backend_pid()"
LONG_QUERY = "SELECT pg_sleep(600)"
SLEEP = "SELECT pg_sleep({})"
UPSERT_ROUND_TRIPS = 10  # by way of a temporary table
DIFFER = "{a}::text IS DISTINCT FROM {b}::text"  # as stored
CASELESS_TYPE = CITEXT()
CASELESS = (
    "CREATE EXTENSION IF NOT EXISTS citext",
    "DROP TABLE IF EXISTS caseless",
    "CREATE TABLE caseless (code citext PRIMARY KEY, v0 int)",
)
SCHEMAS_CASCADE = True
UNREADABLE_VERSIONS: dict[str, str] = {}  # options of Alembic: a user who may but connect reads no table
# What no text or number of the protocol can be.
BAD_TEXTS: list[dict[str, Any]] = [{"name": "\ud800"}, {"name": "a\0b"}, {"value": 2**31}, {"name": "x" * 21}]
_SESSIONS = "FROM pg_stat_activity WHERE datname = current_database()"

# In a transaction: what the server waits before it looks for a deadlock is a second, and a superuser's to change.
DEADLOCKS_SOON = """SELECT set_config('deadlock_timeout', '10ms', true)
    FROM pg_roles WHERE rolname = current_user AND rolsuper"""
# What the driver refuses before anything is sent, and what it is (tests/test_client_errors.py).
CLIENT_ERRORS: dict[str, tuple[Any, type[DatabaseError] | None]] = {
    "an int for a text column": (insert(probes).values(probe(1, name=5)), DatabaseError),
    "a text for a number": (insert(probes).values(probe(1, value="5")), DatabaseError),
    "a number that is too large": (insert(probes).values(probe(1, value=2**31)), InvalidValue),
}


async def isolation_level(session: Session) -> str:
    """Of the transaction that the session is in."""
    level: str = await value(session, text("SELECT upper(current_setting('transaction_isolation'))"))
    return level


async def connections(connection: driver.RawConnection) -> int:
    """How many sessions the database has, this one included."""
    return int(await driver.scalar(connection, f"SELECT count(*) {_SESSIONS}"))


async def open_transactions(connection: driver.RawConnection) -> int:
    """How many sessions of the database are in a transaction and idle."""
    return int(await driver.scalar(connection, f"SELECT count(*) {_SESSIONS} AND state LIKE 'idle in transaction%'"))


ANALYZE = "ANALYZE {}"


async def rows_read(session: Session, table: str) -> int:
    """How many rows of the table this transaction has read so far."""
    counters = "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables WHERE relname = :table"
    return int(await value(session, text(counters).bindparams(table=table)) or 0)


async def plan(session: Session, query: ClauseElement) -> str:
    """How the server runs a query."""
    dialect: Any = make_url(f"{driver.DIALECT}://").get_dialect()
    literal = query.compile(dialect=dialect(), compile_kwargs={"literal_binds": True})
    explained = await rows(session, text("EXPLAIN " + str(literal).replace(":", "\\:")))
    return "\n".join(str(line) for (line,) in explained)


async def running(connection: driver.RawConnection, part: str) -> int:
    """How many sessions of the database are busy with a statement of which `part` is a part."""
    return int(
        await driver.scalar(
            connection,
            f"SELECT count(*) {_SESSIONS} AND state = 'active' AND query LIKE '%{part}%' AND pid <> pg_backend_pid()",
        )
    )


# What a COMMIT that fails raises here: a constraint that is checked only then.
COMMIT_FAILURE = UniqueViolation


async def make_commit_fail(session: Session, server: driver.RawConnection) -> None:
    """Leave the session's transaction such that its COMMIT fails."""
    await run(session, text("CREATE TEMPORARY TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED) ON COMMIT DROP"))
    await run(session, text("INSERT INTO late VALUES (1), (1)"))


async def create_user(server: driver.RawConnection, name: str, password: str, *, connections: int = -1) -> None:
    """A user who may do nothing but connect, `connections` at once (-1: any number)."""
    await driver.scalar(server, f"DROP ROLE IF EXISTS {name}")
    quoted = password.replace("'", "''")
    await driver.scalar(server, f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}' CONNECTION LIMIT {connections}")


async def drop_user(server: driver.RawConnection, name: str) -> None:
    await driver.scalar(server, f"DROP ROLE {name}")


async def certificate_authority(server: driver.RawConnection) -> Path | None:
    """The file with the authority of the server's certificate, where it can be read here."""
    if await driver.scalar(server, "SHOW ssl") == "off":
        return None
    path = Path(
        await driver.scalar(server, "SELECT setting || '/root.crt' FROM pg_settings WHERE name = 'data_directory'")
    )
    return path if await asyncio.to_thread(path.is_file) else None


def is_encrypted(connection: driver.RawConnection) -> bool:
    return connection._transport.get_extra_info("ssl_object") is not None


async def kill(connection: driver.RawConnection, session_id: int) -> None:
    """End another session, as an administrator or a failover does."""
    await driver.scalar(connection, f"SELECT pg_terminate_backend({session_id}, 10000)")
    await asyncio.sleep(0.01)  # for the news to arrive here
