"""What the `databases` library does not say about asyncpg: how many rows a statement matched."""

from databases.backends.postgres import PostgresBackend as RawBackend
from databases.interfaces import ConnectionBackend
from sqlalchemy.sql import ClauseElement

__all__ = ["RawBackend", "affected_rows"]


async def affected_rows(connection: ConnectionBackend, query: ClauseElement) -> int:
    """Run an UPDATE or DELETE; the count stands at the end of the server's command tag."""
    sql, arguments, _ = connection._compile(query)  # type: ignore[attr-defined]  # both backends have it
    tag: str = await connection.raw_connection.execute(sql, *arguments)
    return int(tag.rpartition(" ")[2])
