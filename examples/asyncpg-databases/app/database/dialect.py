"""PostgreSQL and asyncpg, as facts: names, ports, and how a text of its SQL is read."""

import re
from typing import Any

from sqlalchemy import DateTime, Float
from sqlalchemy.dialects.postgresql import TIMESTAMP

NAME = "asyncpg"
SERVER = "PostgreSQL"
SCHEMES = ("postgresql", "postgres")
PORT = 5432
QUOTE = '"'  # of names
SEVERAL_HOSTS = True
SOCKET_HAS_PORT = True  # in its name
DIRECT_TLS = ["postgresql"]  # what a client that begins with TLS names the protocol
DIALECT = "postgresql+asyncpg"
TIMESTAMP_TYPE: DateTime = TIMESTAMP(timezone=True)
# One migration at a time, until the transaction ends. The number is ours; such locks are the database's own.
MIGRATION_LOCK = "SELECT pg_try_advisory_xact_lock(7021601)"
REVISIONS = "SELECT string_agg(version_num, ' ') FROM {}"
# The savepoint around them ends theirs too: a round trip less, which COPY takes for the types of its columns.
RELEASES_BATCHES = False
SPARE_CONNECTIONS = 1  # beside the pool: readiness
# How far a primary has written, and whether a standby has come so far; NULL where there is no such thing. One that was
# promoted still says where it had come to as a standby.
POSITION = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_lsn()::text END"
REACHED = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() >= '{}'::pg_lsn END"
POSITIONS = "those in the WAL of a primary, and of a standby that streams it"
CONNECTION_LIMIT = """
    SELECT least(nullif(rolconnlimit, -1), nullif(datconnlimit, -1),
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int)
    FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()
"""

# What holds no words of a statement: https://www.postgresql.org/docs/current/sql-syntax-lexical.html. Comments may be
# nested, here up to three deep; what is deeper is taken for code, and so refused.
_NESTED = r"/\*(?:[^*/]|\*(?!/)|/(?!\*){})*\*/"
NO_WORDS = re.compile(
    r"""--[^\n]*|{}|(?<![\w$])[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|"(?:[^"]|"")*"
    |(?<![\w$])\$((?:[^\W\d]\w*)?)\$.*?\$\1\$""".replace(
        "{}", _NESTED.replace("{}", "|" + _NESTED.replace("{}", "|" + _NESTED.replace("{}", "")))
    ),
    re.DOTALL | re.VERBOSE,
)
READING = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN"})
REFUSED = re.compile(r"COPY\b.*\b(?:FROM STDIN|TO STDOUT)\b")  # asyncpg would wait for rows that nobody sends
REFUSED_BECAUSE = "COPY by text has no rows to send or to receive: app.database.bulk has"
# What stays with the session when the transaction is over, https://www.postgresql.org/docs/current/sql-discard.html;
# a function that takes a lock or sets a variable for the transaction alone has a name or an argument of its own.
STAYING = re.compile(
    r"""^SET\ (?!(?:LOCAL|TRANSACTION|CONSTRAINTS)\ (?!\.))
    |^(?:RESET|LISTEN|UNLISTEN|PREPARE|DEALLOCATE|DISCARD|LOAD|CALL|DO)\b|^DECLARE\b.*\bWITH\ HOLD\b
    |^(?:EXPLAIN\ .*)?\bCREATE\ (?:OR\ REPLACE\ )?(?:(?:GLOBAL|LOCAL)\ )?TEMP(?:ORARY)?\ (?!.*\bON\ COMMIT\ DROP\b)
    |(?<!\bINSERT\ )(?<!\bMERGE\ )\bINTO\ (?:(?:GLOBAL|LOCAL)\ )?TEMP(?:ORARY)?\ (?!FROM\b)|\bPG_TEMP\b
    |\b(?:SETSEED|SET_LIMIT|DBLINK_CONNECT(?:_U)?|PG_REPLICATION_ORIGIN_SESSION_SETUP)\ ?\(
    |\bPG_(?:TRY_)?ADVISORY_LOCK(?:_SHARED)?\ ?\(|\bUPDATE\ .*\bPG_SETTINGS\b
    |\bSET_CONFIG\ ?\((?!(?:[^()]|\([^()]*\))*,\ ?TRUE\ ?\))""",
    re.VERBOSE,
)
# What stays or not by the value of a parameter: true is for the transaction alone.
LOCAL_BY = re.compile(r"\bSET_CONFIG ?\((?:[^()]|\([^()]*\))*, ?\$(\d+)(?:::BOOLEAN)? ?\)")
# Those that the service's database has of its own. What the server and its extensions bring is written in C, mostly.
FUNCTIONS = """
    SELECT proname, CASE prosrc WHEN '' THEN pg_get_functiondef(pg_proc.oid) ELSE prosrc END
    FROM pg_proc JOIN pg_language ON pg_language.oid = prolang JOIN pg_namespace ON pg_namespace.oid = pronamespace
    WHERE lanname NOT IN ('internal', 'c') AND nspname NOT IN ('pg_catalog', 'information_schema')
"""
OF_ITS_OWN = re.compile("(?!)")  # what a function assigns to variables of its own looks like nothing else here
KEEPING = ", and SET LOCAL, set_config(..., true) or pg_advisory_xact_lock() there"


def sorts_otherwise(type: Any) -> bool:
    """Whether ORDER BY, > and what Python reads do not agree: a Decimal has ten digits of a float."""
    type = getattr(type, "impl_instance", type)  # of a service's own
    return isinstance(type, Float) and bool(type.asdecimal)
