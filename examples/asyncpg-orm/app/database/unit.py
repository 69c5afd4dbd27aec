"""A unit of work: from its first statement on it has a connection, a time limit and, to write, a transaction.

All of it ends in one place, `_end`. A task has one connection at a time for all of its units: while its transaction is
open, its read sessions read in it.
"""

import asyncio
from typing import Any

from app.database import errors
from app.database.connector import Connection
from app.database.forsaken import Forsaken
from app.database.seat import Seat


class Unit(Forsaken):
    """Reads, or writes at an isolation level. A request's own (`of_request`) may be there beside another one, and a
    `brief` one, a WebSocket's, reads without keeping a connection between its statements.
    """

    async def __aenter__(self) -> Any:
        task = asyncio.current_task()
        assert task is not None, "a coroutine always runs in a task"
        self._task, self._seat = task, self._seats.get(task) or Seat()
        if self._seat.transaction is not None and (self.transaction or not self._of_request):
            raise errors.NestedSession
        await self._limit.__aenter__()
        self._seats[task] = self._seat
        self._seat.units += 1
        task.add_done_callback(self._forsake)
        if self.transaction and not self._of_request:
            self._seat.transaction = self
        if (spans := self._route.now.spans) is not None:
            level = self.transaction.isolation_level if self.transaction else None
            self.spans = spans.unit(level, self.attempt, whole=not self._brief)
        return self.session

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self.over:  # forsaken, and undone at its limit
            if error is None and self.transaction:
                raise errors.TransactionTimeout
            return
        if self._task.done() and not isinstance(error, asyncio.CancelledError):  # handed on: the limit is this task's
            self._seats.pop(self._task, None)
            self._task = asyncio.current_task()
            self._limit = asyncio.timeout_at(self._limit.when())
            await self._limit.__aenter__()
        failure, late = error, self._limit.expired()
        try:
            await self._end(error)
        except BaseException as ending:
            failure = ending
        if self.spans is not None:
            self.spans.end(errors.TransactionTimeout() if self._limit.expired() else failure)
        unsure = self.transaction is not None and self.transaction.unsure
        too_long = errors.OutcomeUnknown if unsure else errors.TransactionTimeout
        try:
            await self._limit.__aexit__(type(failure) if failure else None, failure, None)
        except TimeoutError as timeout:
            if isinstance(error, Exception) and not late:
                return  # the first error is the one that is seen
            raise too_long from timeout
        if late and isinstance(failure, Exception):  # which followed from it
            raise too_long from failure
        if failure is not None and failure is not error:
            raise failure

    async def _connected(self) -> Connection:
        if self.begun and self._seat.connection is None:  # given up, and the transaction with it
            raise errors.TransactionAborted
        if self.spans is not None:
            self.spans.begin(self._route.now.spans)
        connection = await self._seat.take(self._route.now, self.spans)
        if self.over:  # it ended while this task waited
            await self._seat.leave()
            raise errors.SessionClosed
        if self._limit.when() is None and (limit := self._options.transaction_timeout):
            self._limit_to(asyncio.get_running_loop().time() + limit)
            if self._task.done():
                self._forsake(self._task)
        if self.transaction and not self.transaction.begun:
            if self._seat.transaction not in (None, self):
                raise errors.NestedSession
            self._seat.transaction = self
            await self.transaction.begin(self._seat, connection.raw, self.spans)
        return connection

    async def commit(self) -> None:
        if self.transaction:
            async with self._seat.turn():
                await self.transaction.commit(self._seat)

    async def rollback(self) -> None:
        if self.transaction:
            async with self._seat.turn():
                await self.transaction.begin_anew(self._seat)

    async def _end(self, error: BaseException | None) -> None:
        seat = self._seat
        try:
            if error is None and not self._is_under_way():
                try:
                    await self.session._finish()
                except BaseException as failure:
                    error = failure
            self.over = True
            if self._is_under_way():
                seat.abandon(seat.connection)
                error = error or errors.StatementUnderWay()
            elif error is None:
                await self.commit()
            elif self.transaction and isinstance(error, Exception):
                async with seat.lock:
                    await self.transaction.roll_back(seat)
            elif self.begun:  # cancelled: no time is left to talk to a server that may be gone
                seat.abandon(seat.connection)
            if error is not None:
                raise error
        finally:
            self.over = True
            self._task.remove_done_callback(self._forsake)
            if self.transaction:
                self.transaction.end()
            try:
                self.session._close()  # which may call a team's listeners
            finally:
                self.session = None  # no circle: what nobody needs any more goes at once, without the garbage collector
                await self._leave(seat)

    def _is_under_way(self) -> bool:
        """Whether a reply is outstanding, also of a read session in this transaction, or a whole is not yet one."""
        sending, whole = self._seat.sending, self._seat.whole_of is not None
        return sending is self or (self.begun and (whole or sending is not None))

    async def _leave(self, seat: Seat) -> None:
        seat.transaction = None if seat.transaction is self else seat.transaction
        seat.units -= 1
        if not seat.units and self._seats.get(self._task) is seat:  # not that of the task to which it was handed on
            del self._seats[self._task]
        if seat.transaction is None and seat.sending is None:
            if not self._limit.expired():  # what was committed is, however long the connection takes to close
                self._limit.reschedule(None)
            await seat.leave()
