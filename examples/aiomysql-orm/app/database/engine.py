"""SQLAlchemy on a unit of work: it compiles, binds and decodes each statement, and the unit sends it.

Nearly all statements go without a greenlet: by the very steps of SQLAlchemy's own `Connection`, which are private to it
and stand here alone (tests/template/test_engine.py compares with SQLAlchemy's own engine). What needs more than one
statement, such as a default that only the server can make, goes by that Connection. Its cursors are ours, so all goes
one way.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.engine import Compiled
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import WARN_LINTING
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import SelectBase
from sqlalchemy.util import LRUCache, greenlet_spawn

from app.database import driver
from app.database.dbapi import URL, BoundConnection, NeedsConnection, NewConnection, UnitConnection
from app.database.errors import InvalidValue, StatementRefused
from app.database.functions import leaving_state
from app.database.translation import translated
from app.database.unit import Unit

STATEMENTS = 500  # compiled ones that are kept, as in SQLAlchemy's engine

Query = ClauseElement | str
Values = dict[str, Any] | None


class Engine:
    """The dialect of one server, and what it has compiled."""

    def __init__(self) -> None:
        url = f"{URL.get_backend_name()}+service://"
        self.sqlalchemy = create_async_engine(url, poolclass=NullPool, hide_parameters=True).sync_engine
        self.dialect: Any = self.sqlalchemy.dialect
        self._compiled: LRUCache[Any, Compiled] = LRUCache(STATEMENTS)
        self._stub, self._knows_server = self.connection(None), False

    def connection(self, unit: Unit | None, send: Any = driver.run) -> Connection:
        return BoundConnection(self.sqlalchemy, UnitConnection(unit, send))

    async def prepare(self, raw: driver.RawConnection) -> None:
        """Make a new connection ready for the dialect, and with the first one the dialect for the server."""
        await self._know_server(raw)
        await driver.prepare(raw, self.dialect)
        raw.leaving_state = await leaving_state(raw)

    async def _know_server(self, raw: driver.RawConnection) -> None:
        if not self._knows_server:
            await greenlet_spawn(self.dialect.initialize, Connection(self.sqlalchemy, NewConnection(raw)))
            self._knows_server = True

    async def ready(self, unit: Unit) -> None:
        """What is compiled depends on the server; the primary stands in for a replica that never was there."""
        if not self._knows_server:
            await unit.connect(self._know_server)

    async def execute(
        self, unit: Unit, query: Query, values: Values = None, send: Any = driver.run
    ) -> CursorResult[Any]:
        """`values` are those of each bindparam(), or the columns of an INSERT or UPDATE, by name."""
        await self.ready(unit)
        query = text(query) if isinstance(query, str) else query
        options: Any = getattr(query, "_execution_options", None)
        if options or not isinstance(query, SelectBase | UpdateBase | TextClause):
            return await self.execute_by_connection(unit, query, values, send)
        compiled, extracted, named, hit = self._compile(query, values)
        if not _is_one_statement(compiled):
            return await self.execute_by_connection(unit, query, values, send)
        try:
            context = self.dialect.execution_ctx_cls._init_compiled(
                self.dialect,
                self._stub,
                self._stub.connection,
                options,
                compiled,
                [values] if values else [],
                query,
                extracted,
                hit,
                named,
            )
        except NeedsConnection:
            compiled.one_statement = False
            return await self.execute_by_connection(unit, query, values, send)
        except OverflowError as error:
            raise InvalidValue from error
        context.cursor.ran = await unit.run(context.statement, context.parameters[0], send)
        context.post_exec()
        result: CursorResult[Any] = context._setup_result_proxy()
        return result

    async def execute_by_connection(
        self,
        unit: Unit,
        query: Any,
        values: Any = None,
        send: Any = driver.run,
        options: Mapping[str, Any] | None = None,
    ) -> CursorResult[Any]:
        """By SQLAlchemy's Connection, with `options` of its; `values` may be a list of them."""
        await self.ready(unit)
        query = text(query) if isinstance(query, str) else query
        if isinstance(values, list) and (missing := set().union(*values) - set(values[0]).intersection(*values)):
            raise StatementRefused(f"Some of the values have no {', '.join(sorted(missing))}, which others have")
        if values and isinstance(query, UpdateBase):
            self._compile(query, values if isinstance(values, dict) else values[0])
        # Who calls says how the rows come, whatever the query's options say.
        options = {**(options or {}), "stream_results": False, "yield_per": None}
        connection = self.connection(unit, send)
        connection.begin()  # sends nothing; without it an error before the statement is sent rolls back the unit
        with translated(writing=unit.writes, connecting=False):
            return await greenlet_spawn(connection.execute, query, values, execution_options=options)

    def _compile(self, query: Any, values: Values) -> Any:
        """Once for these names. Raises StatementRefused for one of no column: SQLAlchemy leaves its value out."""
        made = query._compile_w_cache(
            self.dialect, compiled_cache=self._compiled, column_keys=sorted(values or ()), linting=WARN_LINTING
        )
        compiled = made[0]
        if values and (compiled.isinsert or compiled.isupdate) and not hasattr(compiled, "knows_names"):
            if unknown := ", ".join(sorted(values.keys() - compiled.binds.keys())):
                raise StatementRefused(f"The statement has no place for {unknown}: use its columns' own names")
            compiled.knows_names = True
        return made


def _is_one_statement(compiled: Any) -> bool:
    """Whether all that is made before it, if anything, is made in Python. Decided once for each compiled statement."""
    known: bool | None = compiled.__dict__.get("one_statement")
    if known is None:
        defaults = [c.default for c in compiled.insert_prefetch] + [c.onupdate for c in compiled.update_prefetch]
        # None is a key that the server makes in a statement before it: `implicit_returning=False`.
        known = compiled.one_statement = all(d is not None and (d.is_scalar or d.is_callable) for d in defaults)
    return known
