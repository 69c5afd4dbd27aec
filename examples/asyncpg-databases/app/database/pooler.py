"""Statements that stay prepared behind a pooler in transaction mode, which gives each transaction another connection.

PgBouncer from 1.21 on follows them (`max_prepared_statements`, by default on from 1.24 on), under names of its own: so
the service finds out by asking, and needs no setting. https://www.pgbouncer.org/config.html#max_prepared_statements
"""

from secrets import token_hex
from typing import Any


async def keeps_plans(connection: Any) -> bool:
    """Whether a new connection's statements stay prepared: they do if the server knows this one by another name."""
    name = f"asked_{token_hex(8)}"
    await connection.execute("BEGIN READ ONLY")  # within a transaction it is the same server connection throughout
    plan = await connection.prepare("SELECT count(*) FROM pg_prepared_statements WHERE name = $1", name=name)
    renamed: bool = await plan.fetchval(name) == 0
    del plan
    await connection._cleanup_stmts()  # or the next client would meet it; DEALLOCATE pins a connection of RDS Proxy
    await connection.execute("ROLLBACK")
    return renamed


def forget_plans(kind: Any) -> None:
    """Let connections of this class have other plans made than those from before a migration.

    A pooler takes equal texts of all its clients for one statement, and keeps its old plan: another text has a new one.
    """
    kind.mark = f" /* {token_hex(4)} */"
