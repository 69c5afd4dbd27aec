"""Statements of a unit of work: checked, one at a time, on the connection of its task, with our errors."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any, TypeAlias

from app.database import dialect, driver, errors, metrics, tracing
from app.database.connector import Connection
from app.database.options import IsolationLevel, Options
from app.database.route import Route
from app.database.rows import Ran
from app.database.seat import Savepoints, Seat, Seats
from app.database.statements import Kind, kind_of, refuse_write
from app.database.tracing import UnitSpans
from app.database.transaction import Transaction

Send: TypeAlias = Callable[[driver.RawConnection, str, Sequence[Any]], Awaitable[Ran]]


class Running:
    """The part of a unit that runs statements; its beginning and its end are in app/database/unit.py."""

    _seat: Seat
    _task: Any

    def __init__(
        self, seats: Seats, route: Route, options: Options, level: IsolationLevel | None, of_request: bool, brief: bool
    ) -> None:
        self._seats, self._route, self._options = seats, route, options
        self._of_request, self._brief = of_request, brief
        self.transaction = None if level is None else Transaction(level)
        self.session: Any = None
        self.attempt, self.over, self.savepoints = 0, False, Savepoints()
        self.spans: UnitSpans | None = None
        self._limit = asyncio.timeout(None)

    @property
    def writes(self) -> bool:
        return self.transaction is not None

    @property
    def begun(self) -> bool:
        return self.transaction is not None and self.transaction.begun

    async def run(self, statement: str, arguments: Sequence[Any], send: Send = driver.run, own: bool = False) -> Ran:
        """Run a statement, one at a time. `own`: this package's, which cleans up. Raises our errors."""
        kind = kind_of(statement)
        if self.transaction is None:
            refuse_write(kind, send is driver.stream)
        elif kind.refused and not own:
            raise errors.StatementRefused(dialect.REFUSED_BECAUSE)
        stays = not own and kind.leaves_state(arguments if send is driver.run_many else [arguments])
        ran: Ran = await self._alone(partial(self._send, kind, statement, arguments, send, stays))
        if (fetch := ran.more) is not None:
            ran.more = lambda size: self._alone(lambda unit: unit._careful(fetch(size)))
        return ran

    async def connect(self, look: Callable[[driver.RawConnection], Awaitable[None]]) -> None:
        """Have the connection, and the transaction begun; then `look` at it."""

        async def connected(unit: "Running") -> None:
            await unit._careful(look((await unit._connected()).raw))

        await self._alone(connected)

    async def _alone(self, work: Callable[["Running"], Awaitable[Any]]) -> Any:
        """`work` by the unit whose connection it is: the task's open transaction, or this one.

        A read that its server did not serve is done once more by the spare one.
        """
        seat = self._seat
        async with seat.turn():
            if self.over:
                raise errors.SessionClosed
            self.savepoints.check(self.fail)
            seat.sending = self
            try:
                reads_in = None if self.transaction else seat.transaction
                unit, tried = ((reads_in if reads_in and reads_in.begun else self), self._route.now)
                try:
                    return await work(unit)
                except errors.DatabaseError as error:
                    if self.transaction or unit is not self or (route := self._route.around(tried, error)) is None:
                        raise
                usual, self._route = self._route, route
                try:
                    return await work(self)
                finally:
                    self._route = usual
            finally:
                seat.sending = None
                if self._brief:
                    self._limit_to(None)
                    if not seat.transaction:  # else the connection is, or will be, the transaction's
                        await seat.leave()

    @staticmethod
    async def _send(
        kind: Kind, statement: str, arguments: Sequence[Any], send: Send, stays: bool, unit: "Running"
    ) -> Ran:
        transaction, pooled = unit.transaction, unit._options.external_pooler
        if transaction and not transaction.takes(kind):
            return Ran((), None, -1)
        if not (stays and pooled):
            connection = await unit._connected()
            stays = stays or not connection.raw.leaving_state.isdisjoint(kind.calls)
        if stays and pooled:
            raise errors.StatementRefused("Behind a pooler a session keeps nothing beyond its transaction")
        connection.keeps_state |= stays
        started = monotonic()
        try:
            with tracing.statement(unit.spans, statement):
                ran: Ran = await unit._careful(send(connection.raw, statement, arguments), send is driver.run_many)
        except errors.SchemaChanged:
            await unit._seat.careful(driver.forget(connection.raw), writing=unit.writes)
            if transaction:
                raise
            with tracing.statement(unit.spans, statement):
                ran = await unit._careful(send(connection.raw, statement, arguments), send is driver.run_many)
        finally:
            metrics.note_statement(statement, monotonic() - started)
        if transaction:
            transaction.succeeded(kind, connection.raw)
        return ran

    async def _careful(self, sending: Awaitable[Any], many: bool = False) -> Any:
        """As the seat's; what an error says of the transaction is kept in mind."""
        try:
            return await self._seat.careful(sending, writing=self.writes)
        except BaseException as error:
            if self._seat.connection is None:  # given up, and the transaction with it
                self.fail(error)
            elif self.transaction:
                self.transaction.failed(error, many=many)
            raise

    def fail(self, error: BaseException) -> None:
        """Nothing of the transaction may be stored: half of something has been sent."""
        if self.transaction:
            self.transaction.lost = error

    async def _connected(self) -> Connection:
        raise NotImplementedError

    def _limit_to(self, when: float | None) -> None:
        if not self.over and not self._limit.expired():
            self._limit.reschedule(when)
