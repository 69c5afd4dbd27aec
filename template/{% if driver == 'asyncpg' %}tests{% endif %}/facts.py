"""What the tests must know of this server: how to ask it about sessions, how to make it fail."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import ARRAY, MetaData, Numeric, insert, literal, make_url, select, text
from sqlalchemy.dialects.postgresql import CITEXT, NUMRANGE, Range
from sqlalchemy.sql import ClauseElement

from app.database import DatabaseError, InvalidValue, Session, UniqueViolation, driver, pooler
from app.database.connecting import Connection
from app.settings import DatabaseSettings
from dev import server as dev_server
from tests.probes import probe, probes
from tests.statements import rows, run, value

SESSION_ID = "SELECT pg_backend_pid()"
LONG_QUERY = "SELECT pg_sleep(600)"
SLEEP = "SELECT pg_sleep({})"
UPSERT_ROUND_TRIPS = 10  # by way of a temporary table
DIFFER = "{a}::text IS DISTINCT FROM {b}::text"  # as stored
CASELESS_TYPE = CITEXT()
# What providers hand out, and what is said of it: None where it is taken.
PROVIDERS: dict[str, tuple[str, str | None]] = {
    "Aiven": ("postgres://avnadmin:pw@pg.aivencloud.com:12691/defaultdb?sslmode=require", None),
    "Azure": ("postgres://ada:pw@x.postgres.database.azure.com:5432/postgres?sslmode=require", None),
    "Cloud SQL": ("postgresql://ada:pw@/orders?host=/cloudsql/project:europe-west1:one", None),
    "DigitalOcean": ("postgresql://doadmin:pw@x.db.ondigitalocean.com:25060/defaultdb?sslmode=require", None),
    "Fly.io": ("postgres://ada:pw@orders-db.flycast:5432/orders?sslmode=disable", None),
    "Heroku": ("postgres://ada:pw@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1a2b3", None),
    "Neon": (
        "postgresql://ada:pw@ep-x.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
        "instead of the option channel_binding write sslmode=verify-full&sslrootcert=system",
    ),
    "Neon, to old clients": (
        "postgres://ada:pw@ep-x.neon.tech/neondb?sslmode=require&options=endpoint%3Dep-x",
        "instead of the option options write nothing of an endpoint",
    ),
    "Railway": ("postgresql://postgres:pw@postgres.railway.internal:5432/railway", None),
    "RDS": ("postgresql://ada@x.eu-west-1.rds.amazonaws.com:5432/orders?sslmode=verify-full&sslrootcert=/b.pem", None),
    "Scaleway": ("postgresql://ada:pw@x.sdb.fr-par.scw.cloud:5432/orders?sslmode=verify-full&sslrootcert=system", None),
    "Supabase": (
        "postgresql://postgres.x:pw@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true",
        "instead of the option pgbouncer set DATABASE_EXTERNAL_POOLER=true",
    ),
    "Supabase by way of Vercel": (
        "postgres://postgres.x:pw@aws-0-eu.pooler.supabase.com:6543/postgres?sslmode=require&supa=base-pooler.x",
        "instead of the option supa write nothing",
    ),
    "Prisma": (
        "postgresql://ada:pw@host/orders?connect_timeout=10&schema=public",
        "instead of the option connect_timeout set DATABASE_CONNECT_TIMEOUT",
    ),
    "libpq": (
        "postgresql://ada:pw@host/orders?gssencmode=disable&channel_binding=prefer&sslsni=1&application_name=orders",
        None,
    ),
    "SQLAlchemy": ("postgresql+asyncpg://ada:pw@host/orders?ssl=require", "instead of the option ssl write sslmode"),
}
CASELESS = (
    "CREATE EXTENSION IF NOT EXISTS citext",
    "DROP TABLE IF EXISTS caseless",
    "CREATE TABLE caseless (code citext PRIMARY KEY, v0 int)",
)
SCHEMAS_CASCADE = True
UNREADABLE_VERSIONS: dict[str, str] = {}  # options of Alembic: a user who may but connect reads no table
_BEYOND = Decimal("1e131072")  # PostgreSQL has numbers of 131,072 digits before the point
# What no text or number of the protocol can be.
BAD_TEXTS: list[dict[str, Any]] = [
    *({"name": "\ud800"}, {"name": "a\0b"}, {"value": 2**31}, {"name": "x" * 21}),
    *({"amount": _BEYOND}, {"amount": Decimal("-1e200000")}),
]
_SESSIONS = "FROM pg_stat_activity WHERE datname = current_database()"

# In a transaction: what the server waits before it looks for a deadlock is a second, and a superuser's to change.
DEADLOCKS_SOON = """SELECT set_config('deadlock_timeout', '10ms', true)
    FROM pg_roles WHERE rolname = current_user AND rolsuper"""
# What the driver refuses before anything is sent, and what it is (tests/test_client_errors.py).
CLIENT_ERRORS: dict[str, tuple[Any, type[DatabaseError] | None]] = {
    "an int for a text column": (insert(probes).values(probe(1, name=5)), DatabaseError),
    "a text for a number": (insert(probes).values(probe(1, value="5")), DatabaseError),
    "a number that is too large": (insert(probes).values(probe(1, value=2**31)), InvalidValue),
    "a number that is too large, by a query": (select(probes.c.id).where(probes.c.value == 2**31), InvalidValue),
    "more digits than there can be": (insert(probes).values(probe(1, amount=_BEYOND)), InvalidValue),
    "more digits than there can be, by a query": (select(probes.c.id).where(probes.c.amount < -_BEYOND), InvalidValue),
    "more digits than there can be, in a text": (
        text("SELECT CAST(:v AS numeric)").bindparams(v=_BEYOND),
        InvalidValue,
    ),
    "more digits than there can be, in an array": (select(literal([[_BEYOND]], ARRAY(Numeric))), InvalidValue),
    "more digits than there can be, in a range": (select(literal(Range(None, _BEYOND), NUMRANGE)), InvalidValue),
    "a text for a number, by a query": (select(probes.c.id).where(probes.c.value == "5"), DatabaseError),
    "half of a surrogate pair, by a query": (select(probes.c.id).where(probes.c.name == "\ud800"), InvalidValue),
    "more values than there can be": (select(probes.c.id).where(probes.c.id.in_(range(40_000))), DatabaseError),
}


VIEWS = """
    SELECT NULLIF(nspname, current_schema()), relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('v', 'm', 'f') AND nspname NOT IN ('pg_catalog', 'information_schema')
"""


def elsewhere(tables: MetaData) -> list[str]:
    """The tables of other databases: none, for a schema is a part of one."""
    return []


def emptying(tables: list[str]) -> list[str]:
    """Statements that delete all their rows: foreign keys are looked at after the whole of one."""
    parts = ", ".join(f"part_{number} AS (DELETE FROM {table})" for number, table in enumerate(tables))
    return [f"WITH {parts} SELECT 1"] if tables else []


async def isolation_level(session: Session) -> str:
    """Of the transaction that the session is in."""
    level: str = await value(session, text("SELECT upper(current_setting('transaction_isolation'))"))
    return level


async def plans_stay(settings: DatabaseSettings) -> bool:
    """Whether statements stay prepared: behind a pooler only if it follows them."""
    connection = await driver.connect(settings.target, settings)
    try:
        return not settings.external_pooler or await pooler.keeps_plans(connection)
    finally:
        await driver.close(connection)


def forget_plans() -> None:
    pooler.forget_plans(Connection)


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


async def keep_tables(server: driver.RawConnection, name: str) -> None:
    """Take from a user the right to change tables, which here nobody has unasked since PostgreSQL 15."""
    await driver.scalar(server, f"REVOKE CREATE ON SCHEMA public FROM {name}, PUBLIC")


async def set_password(server: driver.RawConnection, name: str, password: str) -> None:
    await driver.scalar(server, f"ALTER ROLE {name} PASSWORD '{password}'")


async def lock_out(server: driver.RawConnection, name: str) -> None:
    """Take from a user, and here from all others, the right to use the database."""
    await driver.scalar(server, f'REVOKE CONNECT ON DATABASE "{await _database(server)}" FROM PUBLIC')


async def let_in(server: driver.RawConnection, name: str) -> None:
    await driver.scalar(server, f'GRANT CONNECT ON DATABASE "{await _database(server)}" TO PUBLIC')


async def _database(server: driver.RawConnection) -> str:
    return str(await driver.scalar(server, "SELECT current_database()"))


@contextmanager
def password_server(url: str) -> Iterator[str]:
    """The administrator's URL of a server that lets in nobody else without a password: the private one trusts all."""
    with dev_server.start() as private:
        asyncio.run(_ask_for_passwords(private.url))
        yield private.url


async def _ask_for_passwords(url: str) -> None:
    settings = DatabaseSettings(_env_file=None, url=SecretStr(url))
    server = await driver.connect(settings.target, settings)
    hba = Path(await driver.scalar(server, "SHOW hba_file"))
    await asyncio.to_thread(hba.write_text, "host all postgres all trust\nhost all all all scram-sha-256\n")
    loaded = await driver.scalar(server, "SELECT pg_conf_load_time()")
    await driver.scalar(server, "SELECT pg_reload_conf()")
    while await driver.scalar(server, "SELECT pg_conf_load_time()") == loaded:
        await asyncio.sleep(0.01)
    await driver.close(server)


async def drop_user(server: driver.RawConnection, name: str) -> None:
    await driver.scalar(server, f"DROP ROLE {name}")


async def client_certificate(server: driver.RawConnection) -> tuple[Path, Path] | None:
    """A client's certificate and its key, which the server knows, where they can be read here."""
    return None


async def require_certificate(server: driver.RawConnection, name: str) -> None:
    """Nothing: here it is the server's configuration that asks for one."""


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
