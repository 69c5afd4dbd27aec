"""A unit of work: from its first statement on it has a place, a connection, a time limit and, to write, a transaction.

All of it ends in one place, `_end`. A task has one connection at a time for all of its units: while its transaction is
open, its read sessions read in it. No reply is ever met by another statement, by COMMIT or by the next user.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, TypeAlias

from app.database import driver, errors, metrics
from app.database.connector import Connection
from app.database.isolation import IsolationLevel
from app.database.options import Options
from app.database.pool import Pool
from app.database.ran import Ran
from app.database.seat import Seat
from app.database.statements import Kind, kind_of, refuse_write
from app.database.translation import translate

Seats: TypeAlias = "dict[asyncio.Task[Any], Seat]"
Send: TypeAlias = Callable[[driver.RawConnection, str, Sequence[Any]], Awaitable[Ran]]


class Unit:
    """Reads, or writes at an isolation level. A request's own (`of_request`) may be there beside another one, and a
    `brief` one, a WebSocket's, reads without keeping a connection between its statements.
    """

    def __init__(
        self,
        seats: Seats,
        pool: Pool,
        options: Options,
        isolation_level: IsolationLevel | None,
        *,
        of_request: bool = False,
        brief: bool = False,
    ) -> None:
        self._seats, self._pool, self._options = seats, pool, options
        self._isolation_level, self._of_request, self._brief = isolation_level, of_request, brief
        self.session: Any = None
        self._limit = asyncio.timeout(None)
        self._over = self.begun = False
        self._ended: BaseException | None = None  # why the transaction is lost
        self._failed: BaseException | None = None  # why only ROLLBACK TO SAVEPOINT may follow

    @property
    def writes(self) -> bool:
        return self._isolation_level is not None

    async def __aenter__(self) -> Any:
        task = asyncio.current_task()
        assert task is not None, "a coroutine always runs in a task"
        self._seat = seat = self._seats.get(task) or Seat()
        if seat.transaction is not None and (self.writes or not self._of_request):
            raise errors.NestedSession
        await self._limit.__aenter__()
        self._seats[task], self._task = seat, task
        seat.units += 1
        if self.writes and not self._of_request:
            seat.transaction = self
        return self.session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        failure = error
        try:
            await self._end(error)
        except BaseException as ending:
            failure = ending
        try:
            await self._limit.__aexit__(type(failure) if failure else None, failure, None)
        except TimeoutError as timeout:
            raise errors.TransactionTimeout from timeout
        if failure is not None and failure is not error:
            raise failure

    async def connect(self) -> driver.RawConnection:
        """The connection, and the transaction begun. For one at a time."""
        async with self._seat.lock:
            return (await self._connected()).raw

    async def run(self, statement: str, arguments: Sequence[Any], send: Send = driver.run, *, own: bool = False) -> Ran:
        """Run a statement, one at a time. `own`: this package's, which cleans up. Raises our errors."""
        if self._over:
            raise errors.SessionClosed
        kind = kind_of(statement)
        if not self.writes:
            refuse_write(kind)
        elif kind.stays and self._options.external_pooler and not own:
            raise errors.StatementRefused("Behind a pooler a session has no state: use SET LOCAL and the like")
        seat = self._seat
        async with seat.lock:
            unit = seat.transaction if seat.transaction is not None and seat.transaction.begun else self
            if self._over:
                raise errors.SessionClosed
            if send is driver.stream and not unit.writes:
                raise errors.StatementRefused("A read session has no cursor: use a transaction, or app.database.bulk")
            seat.sending = self
            try:
                ran = await unit._run(kind, statement, arguments, send, own)
                if ran.more is not None:
                    ran.more = partial(self._more, unit, ran.more)
                return ran
            finally:
                seat.sending = None
                if self._brief and not unit.writes:
                    await self._leave()

    def give_up(self, error: BaseException) -> None:
        """Nothing of the transaction may be stored: half of something has been sent."""
        self._ended = self._ended or error

    def keeps_state(self, now: bool) -> bool:
        """Say whether the connection is to be closed at the end of the unit; what was said before."""
        connection = self._seat.connection
        if connection is None:
            return False
        connection.keeps_state, before = now, connection.keeps_state
        return before

    async def _more(self, unit: "Unit", fetch: Callable[[int], Awaitable[Sequence[Any]]], size: int) -> Sequence[Any]:
        async with self._seat.lock:
            if self._over or unit._ended is not None:
                raise errors.SessionClosed
            self._seat.sending = self
            try:
                rows: Sequence[Any] = await unit._careful(fetch(size))
                return rows
            finally:
                self._seat.sending = None

    async def _run(self, kind: Kind, statement: str, arguments: Sequence[Any], send: Send, own: bool) -> Ran:
        if cause := self._ended or (None if kind.returns_to_savepoint else self._failed):
            if kind.returns_to_savepoint:  # of no use, and its own error would hide the first one
                return Ran((), None, -1)
            raise errors.TransactionAborted from cause
        connection = await self._connected()
        connection.keeps_state |= kind.stays and not own
        started = monotonic()
        try:
            ran: Ran = await self._careful(send(connection.raw, statement, arguments))
        except errors.SchemaChanged:
            await self._careful(driver.forget(connection.raw))
            if self.writes:
                raise
            ran = await self._careful(send(connection.raw, statement, arguments))
        finally:
            metrics.note_slow(statement, monotonic() - started)
        if kind.returns_to_savepoint:
            self._failed = None
        if self.writes and not driver.in_transaction(connection.raw):
            self._ended = errors.TransactionAborted("A statement ended the transaction of its unit of work")
        return ran

    async def _careful(self, sending: Awaitable[Any]) -> Any:
        """Our errors for the driver's; what they say of connection and transaction is kept in mind."""
        connection = self._seat.connection
        try:
            return await sending
        except Exception as error:
            if (ours := translate(error, writing=self.writes)) is None:
                raise
            if isinstance(ours, errors.ServerGone | errors.ReadOnlyServer):  # the next one finds the new primary
                self._seat.abandon(connection)
                self._ended = ours if self.writes else None
            elif isinstance(ours, driver.ENDS_TRANSACTION):
                self._ended = ours
            elif isinstance(ours, driver.NEEDS_SAVEPOINT):
                self._failed = ours
            raise ours from (None if ours is error else error)
        except BaseException as error:  # cancelled: the reply is still to come
            self._seat.abandon(connection)
            self._ended = error if self.writes else None
            raise

    async def _connected(self) -> Connection:
        seat = self._seat
        if (connection := seat.connection) is None or seat.pool is not self._pool:
            connection = await seat.take(self._pool)
            if self._over:  # it ended while this task waited
                await seat.leave()
                raise errors.SessionClosed
        if seat.holder is not self and (self.writes or seat.holder is None):
            if seat.holder is not None:
                seat.holder._limit_to(None)
            seat.holder = self
            self._limit_to(asyncio.get_running_loop().time() + self._options.transaction_timeout)
        if self._isolation_level is not None and not self.begun:
            if seat.transaction not in (None, self):
                raise errors.NestedSession
            seat.transaction = self
            await self._careful(driver.begin(connection.raw, self._isolation_level))
            self.begun = True
        return connection

    def _limit_to(self, when: float | None) -> None:
        if not self._limit.expired():
            self._limit.reschedule(when)

    async def commit(self) -> None:
        """Of what was begun. What follows, if anything, is another transaction."""
        async with self._seat.lock:
            if not self.begun:
                if self._ended is not None:
                    raise errors.TransactionAborted from self._ended
                return
            cause, connection = self._ended or self._failed, self._seat.connection
            if cause or connection is None:
                await self._roll_back()
                raise errors.TransactionAborted from cause
            self.begun = False
            await self._careful(driver.commit(connection.raw))

    async def rollback(self) -> None:
        async with self._seat.lock:
            if self.begun:
                await self._roll_back()

    async def _roll_back(self) -> None:
        self.begun, self._failed = False, None
        if self._seat.connection is not None:
            with suppress(Exception):  # the first error is the one that is seen; the pool looks at the connection
                await self._careful(driver.rollback(self._seat.connection.raw))

    async def _end(self, error: BaseException | None) -> None:
        seat = self._seat
        try:
            if error is None and not self._is_under_way():
                try:
                    await self.session._finish()
                except BaseException as failure:
                    error = failure
            self._over = True
            if self._is_under_way():
                seat.abandon(seat.connection)
                error = error or errors.StatementUnderWay()
            elif error is None:
                await self.commit()
            elif isinstance(error, Exception):
                await self.rollback()
            elif self.begun:  # cancelled: no time is left to talk to a server that may be gone
                seat.abandon(seat.connection)
            if error is not None:
                raise error
        finally:
            self._over, self.begun = True, False
            self.session._close()
            if seat.transaction is self:
                seat.transaction = None
            seat.units -= 1
            if not seat.units:
                self._seats.pop(self._task, None)
            if seat.holder is self:
                await self._leave()

    def _is_under_way(self) -> bool:
        """Whether a reply is outstanding, of this unit or of a read session that reads in its transaction."""
        sending = self._seat.sending
        return sending is self or (self.begun and sending is not None)

    async def _leave(self) -> None:
        self._limit_to(None)
        await self._seat.leave()
