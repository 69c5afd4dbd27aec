"""What the tests must know of this server: how to ask it about sessions, how to make it fail."""

import asyncio
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, String, insert, literal, make_url, select, text
from sqlalchemy.sql import ClauseElement

from app.database import DatabaseError, InvalidValue, OutcomeUnknown, ServerGone, Session, driver
from app.settings import DatabaseSettings
from tests.probes import probe, probes
from tests.statements import rows, value

SESSION_ID = "SELECT connection_id()"
# Not SLEEP(): on MySQL a statement timeout makes it return 1 instead of an error.
LONG_QUERY = (
    "SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c"
)
SLEEP = "SELECT SLEEP({})"
# MySQL's information_schema fails while any session runs a statement with a character of four bytes in it (error 3854);
# MariaDB's performance_schema is empty.
_TRANSACTION = """
    /*!80022 SELECT CONCAT(thread_id, '-', event_id), isolation_level
        FROM performance_schema.events_transactions_current
        JOIN performance_schema.threads USING (thread_id) WHERE processlist_id = connection_id() AND state = 'ACTIVE' */
    /*M! SELECT trx_id, trx_isolation_level FROM information_schema.innodb_trx
        WHERE trx_mysql_thread_id = connection_id() */"""
_HOSTS = ("localhost", "%")  # a nameless user of localhost, which some servers have, goes before one of anywhere
_seen: set[object] = set()
UPSERT_ROUND_TRIPS = 7
DIFFER = "NOT ({a} <=> {b} AND CAST({a} AS BINARY) <=> CAST({b} AS BINARY))"  # as stored
CASELESS_TYPE = String(20)
CASELESS = (
    "DROP TABLE IF EXISTS caseless",
    "CREATE TABLE caseless (code varchar(20) COLLATE utf8mb4_general_ci PRIMARY KEY, v0 int)",
)
# What providers hand out, and what is said of it: None where it is taken.
_IDENTITY = "write ssl-mode=REQUIRED, or ssl-mode=VERIFY_IDENTITY to know the server"
PROVIDERS: dict[str, tuple[str, str | None]] = {
    "Aiven": ("mysql://avnadmin:pw@mysql.aivencloud.com:12691/defaultdb?ssl-mode=REQUIRED", None),
    "Azure": ("mysql://ada:pw@x.mysql.database.azure.com:3306/orders?useSSL=true", f"option usessl {_IDENTITY}"),
    "ClearDB": (
        "mysql://ada:pw@x.cleardb.net/heroku_1?reconnect=true",
        "instead of the option reconnect write nothing",
    ),
    "Cloud SQL": ("mysql://ada:pw@/orders?unix_socket=/cloudsql/project:europe-west1:one", None),
    "DigitalOcean": ("mysql://doadmin:pw@x.db.ondigitalocean.com:25060/defaultdb?ssl-mode=REQUIRED", None),
    "PlanetScale": ("mysql://ada:pw@aws.connect.psdb.cloud/orders?sslaccept=strict", f"option sslaccept {_IDENTITY}"),
    "PlanetScale to Node": (
        'mysql://ada:pw@aws.connect.psdb.cloud/orders?ssl={"rejectUnauthorized":true}',
        f"instead of the option ssl {_IDENTITY}",
    ),
    "Railway": ("mysql://root:pw@mysql.railway.internal:3306/railway", None),
    "RDS": ("mysql://ada@x.rds.amazonaws.com:3306/orders?ssl-mode=VERIFY_IDENTITY&ssl-ca=/bundle.pem", None),
    "TiDB Cloud": (
        "mysql://x.root:pw@gateway01.aws.tidbcloud.com:4000/orders?ssl_verify_cert=true&ssl_verify_identity=true",
        f"option ssl_verify_cert {_IDENTITY}",
    ),
    "SQLAlchemy": ("mysql+aiomysql://ada:pw@host/orders?charset=utf8mb4", None),
    "SQLAlchemy, another charset": ("mysql://ada:pw@host/orders?charset=latin1", "option charset write nothing"),
    "Prisma": ("mysql://ada:pw@host/orders?connection_limit=5", "option connection_limit set DATABASE_POOL_SIZE"),
}
SCHEMAS_CASCADE = False  # they always do
# Options of Alembic: a user who may do anything in a database reads all of its tables, so one of another.
UNREADABLE_VERSIONS = {"version_table_schema": "mysql", "version_table": "user"}
# What no text or number of the protocol can be.
BAD_TEXTS: list[dict[str, Any]] = [
    {"name": "\ud800"},
    {"amount": float("nan")},
    {"amount": Decimal("Infinity")},
    {"value": 2**31},
    {"name": "x" * 21},
]
_SESSIONS = """SELECT COUNT(*) FROM /*!80022 performance_schema.processlist */ /*M! information_schema.processlist */
    WHERE db = DATABASE()"""

DEADLOCKS_SOON = "SELECT 1"  # they are found at once
# What the driver refuses before anything is sent, and what it is (tests/test_client_errors.py).
CLIENT_ERRORS: dict[str, tuple[Any, type[DatabaseError] | None]] = {
    "a number that is none": (text("SELECT :lat").bindparams(lat=float("nan")), InvalidValue),
    "an infinity": (text("SELECT :lat").bindparams(lat=float("-inf")), InvalidValue),
    "a decimal that is none": (insert(probes).values(probe(1, amount=Decimal("NaN"))), InvalidValue),
    "a duration that is too long": (select(literal(timedelta.max)), InvalidValue),
    "an object of no type": (text("SELECT :what").bindparams(what={"a": 1}), None),
}


VIEWS = "SELECT NULLIF(table_schema, DATABASE()), table_name FROM information_schema.views"


def elsewhere(tables: MetaData) -> list[str]:
    """The tables of other databases, of which no worker has one of its own: a schema is one here."""
    return [name for name, table in tables.tables.items() if table.schema and "_test_" not in table.schema]


def emptying(tables: list[str]) -> list[str]:
    """Statements that delete all their rows, for a connection of its own."""
    return ["SET foreign_key_checks = 0", *(f"DELETE FROM {table}" for table in tables)]


async def isolation_level(session: Session) -> str:
    """Of the transaction that the session is in and has written in; to be asked once in each."""
    # MariaDB's table is a copy, perhaps of an earlier transaction, and is made anew when nobody has read it for 0.1 s:
    # https://dev.mysql.com/doc/refman/9.7/en/innodb-information-schema-internal-data.html
    query = text(_TRANSACTION)
    while not (found := [row for row in await rows(session, query) if row[0] not in _seen]):
        await asyncio.sleep(random.uniform(0.1, 0.3))
    _seen.add(found[0][0])
    return str(found[0][1])


async def plans_stay(settings: DatabaseSettings) -> bool:
    """Nothing is prepared, so nothing is lost."""
    return True


def forget_plans() -> None:
    """There are none."""


async def connections(connection: driver.RawConnection) -> int:
    """How many sessions the database has, this one included."""
    return await _count(connection, _SESSIONS)


async def open_transactions(connection: driver.RawConnection) -> int:
    """How many sessions of the database are in a transaction."""
    async with connection.cursor() as cursor:
        await cursor.execute("SHOW ENGINE INNODB STATUS")
        status = (await cursor.fetchone())[2]
    active = [part for part in status.split("---TRANSACTION")[1:] if " ACTIVE " in part.partition("\n")[0]]
    ids = [found[1] for part in active if (found := re.search(r"thread id (\d+)", part))]
    return await _count(connection, f"{_SESSIONS} AND id IN ({', '.join(ids)})") if ids else 0


ANALYZE = "ANALYZE TABLE {}"


async def rows_read(session: Session, table: str) -> int:
    """How many rows this session has read so far, of any table."""
    counters = await rows(session, text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
    return sum(int(count) for _, count in counters)


async def plan(session: Session, query: ClauseElement) -> str:
    """How the server runs a query."""
    dialect: Any = make_url(f"{driver.DIALECT}://").get_dialect()
    literal = query.compile(dialect=dialect(), compile_kwargs={"literal_binds": True})
    explained = await rows(session, text("EXPLAIN " + str(literal).replace(":", "\\:")))
    return "\n".join(str(line) for line in explained)


async def running(connection: driver.RawConnection, part: str) -> int:
    """How many sessions of the database are busy with a statement of which `part` is a part."""
    return await _count(connection, f"{_SESSIONS} AND info LIKE '%{part}%' AND id <> connection_id()")


async def _count(connection: driver.RawConnection, query: str) -> int:
    return int(await driver.scalar(connection, query))


# What a COMMIT that fails raises here: nothing is checked only then, so the session is killed before.
COMMIT_FAILURE = (ServerGone, OutcomeUnknown)  # known to be closed before COMMIT, or not yet


async def make_commit_fail(session: Session, server: driver.RawConnection) -> None:
    """Leave the session's transaction such that its COMMIT fails."""
    await kill(server, await value(session, text(SESSION_ID)))


async def create_user(server: driver.RawConnection, name: str, password: str, *, connections: int = -1) -> None:
    """A user who may do nothing but use this database, `connections` at once (-1: any number)."""
    await drop_user(server, name)
    limit = "" if connections < 0 else f" WITH MAX_USER_CONNECTIONS {connections}"
    for host in _HOSTS:
        await driver.scalar(server, f"CREATE USER {name}@'{host}' IDENTIFIED BY {server.escape(password)}{limit}")
        await driver.scalar(server, f"GRANT ALL ON `{server.db}`.* TO {name}@'{host}'")


async def keep_tables(server: driver.RawConnection, name: str) -> None:
    """Take from a user the right to change tables."""
    for host in _HOSTS:
        await driver.scalar(server, f"REVOKE CREATE, ALTER, DROP ON `{server.db}`.* FROM {name}@'{host}'")


async def set_password(server: driver.RawConnection, name: str, password: str) -> None:
    for host in _HOSTS:
        await driver.scalar(server, f"ALTER USER {name}@'{host}' IDENTIFIED BY {server.escape(password)}")


async def lock_out(server: driver.RawConnection, name: str) -> None:
    """Take from a user the right to use the database."""
    for host in _HOSTS:
        await driver.scalar(server, f"REVOKE ALL ON `{server.db}`.* FROM {name}@'{host}'")


async def let_in(server: driver.RawConnection, name: str) -> None:
    for host in _HOSTS:
        await driver.scalar(server, f"GRANT ALL ON `{server.db}`.* TO {name}@'{host}'")


@contextmanager
def password_server(url: str) -> Iterator[str]:
    """The administrator's URL of a server that lets in nobody else without a password: each does."""
    yield url


async def drop_user(server: driver.RawConnection, name: str) -> None:
    for host in _HOSTS:  # not IF EXISTS: it would warn
        if await driver.scalar(server, f"SELECT COUNT(*) FROM mysql.user WHERE user = '{name}' AND host = '{host}'"):
            await driver.scalar(server, f"DROP USER {name}@'{host}'")


async def client_certificate(server: driver.RawConnection) -> tuple[Path, Path] | None:
    """A client's certificate and its key, which the server knows, where they can be read here: MySQL makes them."""
    data = Path(await driver.scalar(server, "SELECT @@datadir"))
    files = data / "client-cert.pem", data / "client-key.pem"
    return files if await asyncio.to_thread(lambda: all(file.is_file() for file in files)) else None


async def require_certificate(server: driver.RawConnection, name: str) -> None:
    for host in _HOSTS:
        await driver.scalar(server, f"ALTER USER {name}@'{host}' REQUIRE X509")


async def certificate_authority(server: driver.RawConnection) -> Path | None:
    """The file with the authority of the server's certificate, where it can be read here."""
    path = Path(await driver.scalar(server, "SELECT CONCAT(@@datadir, COALESCE(@@ssl_ca, ''))"))
    return path if await asyncio.to_thread(path.is_file) else None


def is_encrypted(connection: driver.RawConnection) -> bool:
    return connection._writer.get_extra_info("ssl_object") is not None


async def kill(connection: driver.RawConnection, session_id: int) -> None:
    """End another session, as an administrator or a failover does."""
    await driver.scalar(connection, f"KILL {session_id}")
    while await _count(connection, f"{_SESSIONS} AND id = {session_id}"):
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)  # for the news to arrive here
