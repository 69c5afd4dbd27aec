"""What the `databases` library lacks on asyncpg: statements that are compiled once, and how many rows they matched."""

from typing import Any

from databases.backends.postgres import PostgresBackend, PostgresConnection
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.ddl import DDLElement

from app.database.statements import Record, Statement, Statements, Values


class RawConnection(PostgresConnection):
    _database: "RawBackend"

    async def fetch_all(self, query: ClauseElement, values: Values | None = None) -> list[Any]:
        sql, arguments, statement = self._find(query, values)
        return [Record(row, statement) for row in await self.raw_connection.fetch(sql, *arguments)]

    async def fetch_one(self, query: ClauseElement, values: Values | None = None) -> Any:
        sql, arguments, statement = self._find(query, values)
        row = await self.raw_connection.fetchrow(sql, *arguments)
        return None if row is None else Record(row, statement)

    async def affected(self, query: ClauseElement) -> int:
        """Run an UPDATE or DELETE; the count stands at the end of the server's command tag."""
        sql, arguments, _ = self._find(query)
        tag: str = await self.raw_connection.execute(sql, *arguments)
        return int(tag.rpartition(" ")[2])

    def _find(self, query: ClauseElement, values: Values | None = None) -> tuple[str, list[Any], Statement]:
        statement, sql, found = self._database.statements.find(query, values)
        names = sorted(found)
        places = {name: f"${number}" for number, name in enumerate(names, 1)}
        return sql % places, [found[name] for name in names], statement

    def _compile(self, query: ClauseElement) -> Any:  # for what the library does itself
        if isinstance(query, DDLElement):
            return super()._compile(query)
        sql, arguments, statement = self._find(query)
        return sql, arguments, statement.columns


class RawBackend(PostgresBackend):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.statements = Statements(self._dialect)

    def connection(self) -> RawConnection:
        return RawConnection(self, self._dialect)
