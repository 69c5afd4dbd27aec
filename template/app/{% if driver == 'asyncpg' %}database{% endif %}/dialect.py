"""PostgreSQL and asyncpg, as facts: names, ports, and how a text of its SQL is read."""

import re

from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import TIMESTAMP

NAME = "asyncpg"
SERVER = "PostgreSQL"
SCHEMES = ("postgresql", "postgres")
PORT = 5432
SEVERAL_HOSTS = True
SOCKET_HAS_PORT = True  # in its name
DIALECT = "postgresql+asyncpg"
TIMESTAMP_TYPE: DateTime = TIMESTAMP(timezone=True)
# One migration at a time, until the transaction ends. The number is ours; such locks are the database's own.
MIGRATION_LOCK = "SELECT 1 FROM pg_advisory_xact_lock(7021601)"
SPARE_CONNECTIONS = 1  # beside the pool: readiness
CONNECTION_LIMIT = """
    SELECT least(nullif(rolconnlimit, -1), nullif(datconnlimit, -1),
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int)
    FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()
"""

# What holds no words of a statement: https://www.postgresql.org/docs/current/sql-syntax-lexical.html
NO_WORDS = re.compile(
    r"""--[^\n]*|/\*(?:[^*/]|\*(?!/)|/(?!\*)|/\*.*?\*/)*\*/|[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*'|"(?:[^"]|"")*"
    |\$(\w*)\$.*?\$\1\$""",
    re.DOTALL | re.VERBOSE,
)
READING = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN"})
# What stays with the session when the transaction is over, https://www.postgresql.org/docs/current/sql-discard.html;
# a function that takes a lock or sets a variable for the transaction alone has a name or an argument of its own.
STAYING = re.compile(
    r"""^(?:SET\s(?!\s*(?:LOCAL|TRANSACTION|CONSTRAINTS)\b)|RESET|LISTEN|UNLISTEN|PREPARE|DEALLOCATE|DISCARD|LOAD|CALL|DO)\b
    |^DECLARE\b.*\bWITH\s+HOLD\b|^CREATE\s+(?:\w+\s+){0,3}?TEMP(?:ORARY)?\b(?!.*\bON\s+COMMIT\s+DROP\b)
    |\bINTO\s+TEMP(?:ORARY)?\b|\bPG_TEMP\s*\.|\b(?:SETSEED|DBLINK_CONNECT|PG_(?:TRY_)?ADVISORY_LOCK(?:_SHARED)?)\s*\(
    |\bSET_CONFIG\s*\((?!.*,\s*TRUE\s*\))""",
    re.DOTALL | re.VERBOSE,
)
