"""The transaction of a unit that writes: open, lost or over, whatever the server would still take or say."""

from collections.abc import Awaitable
from contextlib import suppress
from time import monotonic

from app.database import driver, errors, metrics, tracing
from app.database.options import IsolationLevel
from app.database.route import note_write
from app.database.seat import Seat
from app.database.statements import Kind
from app.database.tracing import UnitSpans
from app.database.translation import ENDED


class Transaction:
    """`lost` is why nothing of it can be stored, `stuck` why only ROLLBACK TO SAVEPOINT may follow; while it is
    `unsure`, COMMIT may have been sent, and nobody knows what came of it.
    """

    def __init__(self, isolation_level: IsolationLevel) -> None:
        self.isolation_level = isolation_level
        self._spans: UnitSpans | None = None
        self.begun = self.unsure = False
        self.lost: BaseException | None = None
        self.stuck: BaseException | None = None

    def takes(self, kind: Kind) -> bool:
        """Whether to send the statement. Raises TransactionAborted after an error that had ended the transaction."""
        if kind.returns_to_savepoint:
            return self.lost is None  # else of no use, and its own error would hide the first one
        if cause := self.lost or self.stuck:
            raise errors.TransactionAborted from cause
        return True

    async def begin(self, seat: Seat, raw: driver.RawConnection, spans: UnitSpans | None) -> None:
        self._spans = spans
        try:
            await self._say("BEGIN", driver.begin(raw, self.isolation_level), seat)
        except BaseException as error:
            self.lost = error
            raise
        self.begun = True

    def succeeded(self, kind: Kind, raw: driver.RawConnection) -> None:
        if kind.returns_to_savepoint:
            self.stuck = None
        if not driver.in_transaction(raw):
            self.lost = errors.TransactionAborted(ENDED)

    def failed(self, error: BaseException, *, many: bool) -> None:
        """`many`: others of its rows may have been stored, and what one statement had done is undone alone."""
        if isinstance(error, driver.NEEDS_SAVEPOINT):
            self.stuck = error
        elif not isinstance(error, Exception) or isinstance(error, (*driver.ENDS_TRANSACTION, errors.Unavailable)):
            self.lost = error
        elif many:
            self.stuck = error

    async def commit(self, seat: Seat) -> None:
        """What follows is another transaction. Raises TransactionAborted when this one was lost, and OutcomeUnknown
        when the connection was lost before the answer: only one that was known to be closed has sent nothing.
        """
        if self.lost or self.stuck or (self.begun and seat.connection is None):
            await self.roll_back(seat)
            if isinstance(self.lost, errors.TransactionAborted):
                raise self.lost
            raise errors.TransactionAborted from self.lost or self.stuck
        if self.begun and seat.connection is not None:
            raw = seat.connection.raw
            self.begun, self.unsure = False, not driver.is_closed(raw)
            note_write()  # before: it may be stored although its answer is lost
            try:
                await self._say("COMMIT", driver.commit(raw), seat)
            except BaseException as error:
                metrics.lost.inc()
                if self.unsure and isinstance(error, errors.ServerGone):
                    raise errors.OutcomeUnknown from error.__cause__ or error
                self.unsure = self.unsure and not isinstance(error, Exception)  # else the server has said why
                raise
            self.unsure = False
            metrics.committed.inc()

    async def roll_back(self, seat: Seat) -> bool:
        """Whether the server has answered."""
        if self.begun and seat.connection is not None:
            self.begun = False
            metrics.rolled_back.inc()
            with suppress(Exception):  # the first error is the one that is seen; the pool looks at the connection
                await self._say("ROLLBACK", driver.rollback(seat.connection.raw), seat)
                return True
        return False

    async def begin_anew(self, seat: Seat) -> None:
        """ROLLBACK as its user says it: all is undone, and what follows is another transaction."""
        ended = isinstance(self.lost, errors.TransactionAborted)  # by a statement: what came before it may be stored
        if await self.roll_back(seat) and not ended:
            self.lost = self.stuck = None

    def end(self) -> None:
        """After all else: one that is still open was given up together with its connection."""
        if self.begun:
            self.begun = False
            metrics.lost.inc()

    async def _say(self, command: str, sending: Awaitable[None], seat: Seat) -> None:
        started = monotonic()
        try:
            with tracing.statement(self._spans, command):
                await seat.careful(sending, writing=True)
        finally:
            metrics.note_time(monotonic() - started)
