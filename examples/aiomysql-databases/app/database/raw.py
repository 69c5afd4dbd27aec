"""What the `databases` library does not say about aiomysql: how many rows a statement matched."""

from databases.backends.mysql import MySQLBackend as RawBackend
from databases.interfaces import ConnectionBackend
from sqlalchemy.sql import ClauseElement

__all__ = ["RawBackend", "affected_rows"]


async def affected_rows(connection: ConnectionBackend, query: ClauseElement) -> int:
    """Run an UPDATE or DELETE; rows matched, as the connection's FOUND_ROWS flag asks."""
    sql, arguments, *_ = connection._compile(query)  # type: ignore[attr-defined]  # both backends have it
    async with connection.raw_connection.cursor() as cursor:
        count: int = await cursor.execute(sql, arguments)
        return count
