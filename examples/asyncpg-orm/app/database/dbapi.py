"""A unit of work as the DB-API's connection: what SQLAlchemy's own Connection and AsyncSession send goes through it."""

from collections.abc import Sequence
from typing import Any, NoReturn

from sqlalchemy import Connection
from sqlalchemy.dialects import registry
from sqlalchemy.engine import make_url
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import await_only

from app.database import dialect, driver
from app.database.errors import StatementRefused
from app.database.rows import Ran
from app.database.unit import Unit


class NeedsConnection(Exception):
    """A default of Python's asks the database: the statement has to go by SQLAlchemy's Connection."""


class Cursor:
    """The DB-API's cursor, as SQLAlchemy's asynchronous dialects use one."""

    lastrowid = property(lambda self: self.ran.lastrowid)
    rowcount = property(lambda self: self.ran.rowcount)
    description = property(lambda self: self.ran.description)

    def __init__(self, runner: "Unit | NewConnection | None", send: Any = driver.run) -> None:
        self._runner, self._send = runner, send
        self.ran = Ran((), None, -1)
        self._read = 0

    def execute(self, statement: str, arguments: Sequence[Any] = (), send: Any = None) -> None:
        if self._runner is None:
            raise NeedsConnection
        self.ran, self._read = (await_only(self._runner.run(statement, arguments, send or self._send)), 0)

    def executemany(self, statement: str, arguments: Sequence[Sequence[Any]]) -> None:
        self.execute(statement, arguments, driver.run_many)

    def fetchmany(self, size: int = 1) -> Sequence[Any]:
        if self.ran.more is not None:
            return await_only(self.ran.more(size))
        self._read += size
        return self.ran.rows[self._read - size : self._read]

    def fetchone(self) -> Any:
        return next(iter(self.fetchmany(1)), None)

    def fetchall(self) -> Sequence[Any]:
        rows = list(self.ran.rows[self._read :])
        self._read = len(self.ran.rows)
        if self.ran.more is not None:
            while more := await_only(self.ran.more(1000)):
                rows += more
        return rows

    def close(self) -> None:
        pass

    async def _async_soft_close(self) -> None:
        pass


class UnitConnection(PoolProxiedConnection):
    """What SQLAlchemy takes for a connection of its pool: a unit of work, which has one when it needs one."""

    is_valid, is_detached = True, False
    dbapi_connection: Any = property(lambda self: self)
    driver_connection: Any = property(lambda self: self)

    def __init__(self, unit: Unit | None, send: Any = driver.run) -> None:
        self.unit, self._send = unit, send
        self.info: dict[str, Any] = {}

    @property
    def begun(self) -> bool:
        return self.unit is not None and self.unit.begun

    def cursor(self, server_side: bool = False) -> Any:
        return Cursor(self.unit, driver.stream if server_side else self._send)

    def close(self, *_: object) -> None:
        pass

    commit = rollback = detach = invalidate = close  # type: ignore[assignment]


class BoundConnection(Connection):
    """SQLAlchemy's on a unit, which begins and ends both."""

    def invalidate(self, exception: BaseException | None = None) -> None:
        """Nothing: the unit knows what is lost, and what goes on by another connection."""

    def commit(self) -> NoReturn:
        raise StatementRefused("The connection is the unit of work's, which ends it: do without commit() and the like")

    rollback = close = commit


class NewConnection(UnitConnection):
    """A connection that no unit has yet: the dialect asks it what kind of server this is."""

    def __init__(self, raw: driver.RawConnection) -> None:
        super().__init__(None)
        self._raw = raw

    async def run(self, statement: str, arguments: Sequence[Any], send: Any = driver.run) -> Ran:
        ran: Ran = await send(self._raw, statement, arguments)
        return ran

    def cursor(self, server_side: bool = False) -> Any:
        return Cursor(self)

    def __getattr__(self, name: str) -> Any:  # what a dialect reads of the driver's
        return getattr(self._raw, name)


class _UnitsOfWork:
    """What a dialect does with a connection is the unit's; it is entered by Database's methods alone."""

    def do_commit(self, dbapi_connection: Any) -> None:
        if dbapi_connection.begun:
            await_only(dbapi_connection.unit.commit())

    def do_rollback(self, dbapi_connection: Any) -> None:
        if dbapi_connection.begun:
            await_only(dbapi_connection.unit.rollback())

    def do_rollback_to_savepoint(self, connection: Any, name: str) -> None:
        if connection.connection.begun:  # else all of it was undone before
            super().do_rollback_to_savepoint(connection, name)  # type: ignore[misc]  # of the dialect beside it

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> NoReturn:
        raise StatementRefused(f"A unit of work has its level from its start: transaction(isolation_level={level!r})")

    def set_readonly(self, connection: Any, value: bool) -> NoReturn:
        raise StatementRefused("A unit of work reads or writes from its start on: read() or transaction()")

    set_deferrable = set_readonly


# https://docs.sqlalchemy.org/en/21/core/connections.html#registering-new-dialects
URL = make_url(f"{dialect.DIALECT}://")
ServiceDialect = type("ServiceDialect", (_UnitsOfWork, URL.get_dialect()), {"supports_statement_cache": True})
registry.register(f"{URL.get_backend_name()}.service", __name__, "ServiceDialect")
