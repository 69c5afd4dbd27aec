"""What the `databases` library lacks on aiomysql: statements that are compiled once, and how many rows they matched."""

from typing import Any

from databases.backends.common.records import Row
from databases.backends.mysql import CompilationContext, MySQLBackend, MySQLConnection
from sqlalchemy.engine.cursor import CursorResultMetaData
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.ddl import DDLElement

from app.database.statements import Record, Statement, Statements, Values


class RawConnection(MySQLConnection):
    _database: "RawBackend"

    async def fetch_all(self, query: ClauseElement, values: Values | None = None) -> list[Any]:
        statement, sql, arguments = self._database.statements.find(query, values)
        async with self.raw_connection.cursor() as cursor:
            await cursor.execute(sql, arguments)
            rows, described = await cursor.fetchall(), statement.metadata
            if described is None:
                described = CursorResultMetaData(self._context(statement), cursor.description)
                statement.metadata = described if statement.names else None  # text may have other columns tomorrow
        processors, keys = described._processors, described._keymap
        return [Record(Row(described, processors, keys, row), statement) for row in rows]

    async def fetch_one(self, query: ClauseElement, values: Values | None = None) -> Any:
        rows = await self.fetch_all(query, values)  # aiomysql has read all of them in any case
        return rows[0] if rows else None

    async def affected(self, query: ClauseElement) -> int:
        """Run an UPDATE or DELETE; rows matched, as the connection's FOUND_ROWS flag asks."""
        _, sql, arguments = self._database.statements.find(query)
        async with self.raw_connection.cursor() as cursor:
            count: int = await cursor.execute(sql, arguments)
            return count

    def _compile(self, query: ClauseElement) -> Any:  # for what the library does itself
        if isinstance(query, DDLElement):
            return super()._compile(query)
        statement, sql, arguments = self._database.statements.find(query)
        return sql, arguments, statement.columns, self._context(statement)

    def _context(self, statement: Statement) -> Any:
        context, compiled = self._dialect.execution_ctx_cls(), statement.compiled
        context.dialect = self._dialect
        context.result_column_struct = (  # type: ignore[attr-defined]  # what CursorResultMetaData reads
            compiled._result_columns,
            compiled._ordered_columns,
            compiled._textual_ordered_columns,
            compiled._ad_hoc_textual,
            compiled._loose_column_name_matching,
        )
        return CompilationContext(context)


class RawBackend(MySQLBackend):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.statements = Statements(self._dialect)

    def connection(self) -> RawConnection:
        return RawConnection(self, self._dialect)
