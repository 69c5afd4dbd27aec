"""What a task holds of the database: one connection at most, on which one statement at a time is under way.

No reply is ever met by another statement or by the next user: a connection whose reply is outstanding is given up.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from app.database import driver, tracing
from app.database.connector import Connection
from app.database.errors import DatabaseError, ReadOnlyServer, ServerGone, StatementRefused, StatementUnderWay
from app.database.pool import Pool
from app.database.tracing import UnitSpans
from app.database.translation import translate

if TYPE_CHECKING:
    from app.database.running import Running

T = TypeVar("T")
_HELD: AbstractAsyncContextManager[None] = nullcontext()
_OF_NO_USE = (ServerGone, ReadOnlyServer)  # the next one finds the new primary


class Seat:
    """`sending` is the unit whose reply is outstanding, `transaction` the one that nobody else may begin beside, and
    `whole_of` the task that holds the lock for several statements, of wholes so many within one another (`depth`).
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.whole_of: asyncio.Task[Any] | None = None
        self.depth = self.units = 0
        self.pool: Pool | None = None
        self.connection: Connection | None = None
        self.sending: Running | None = None
        self.transaction: Running | None = None

    def turn(self) -> AbstractAsyncContextManager[None]:
        """The lock, unless this task holds it."""
        return _HELD if self.whole_of is not None and self.whole_of is asyncio.current_task() else self.lock

    @asynccontextmanager
    async def whole(self) -> AsyncIterator[None]:
        """For several statements of this task: one of another task between them might be undone with them."""
        async with self.turn():
            outer, self.whole_of = self.whole_of, asyncio.current_task()
            self.depth += 1
            try:
                yield
            finally:
                self.whole_of = outer
                self.depth -= 1

    async def take(self, pool: Pool, spans: UnitSpans | None = None) -> Connection:
        """A connection of this pool. One of another, the replica's, is given back before."""
        pool.check_loop()
        if self.connection is None or self.pool is not pool:
            await self.leave()
            with tracing.wait(spans):
                self.connection, self.pool = await pool.acquire(), pool
        return self.connection

    async def leave(self) -> None:
        """Give back a connection on which nothing is under way."""
        connection, self.connection = self.connection, None
        if connection is not None and self.pool is not None:
            if connection.keeps_state:
                await self.pool.retire(connection)
            else:
                self.pool.release(connection)

    def abandon(self, connection: Connection | None) -> None:
        """Give up a connection on which a reply may be outstanding, unless that has been done."""
        if connection is not None and connection is self.connection and self.pool is not None:
            self.connection = None
            self.pool.abandon(connection)

    async def careful(self, sending: Awaitable[T], *, writing: bool) -> T:
        """Raises our errors for the driver's; a connection that is of no further use is given up."""
        connection = self.connection
        try:
            return await sending
        except Exception as error:
            ours: DatabaseError | None = translate(error, writing=writing)
            if connection is not self.connection:  # the unit has ended, and what comes of it can be anything
                ours = StatementUnderWay()
            elif connection and (isinstance(ours, _OF_NO_USE) or driver.is_closed(connection.raw)):
                self.abandon(connection)
            if ours is None or ours is error:
                raise
            raise ours from error
        except BaseException:  # cancelled: the reply is still to come
            self.abandon(connection)
            raise


Seats: TypeAlias = dict[asyncio.Task[Any], Seat]


class Savepoints:
    """Which savepoints of a unit are open, and whose they are: those of several tasks may stand one in another, while
    the outer task waits, but not overlap. What is sent into another task's savepoint is undone with it, and nobody is
    told. Each is known by an object and by the task that began it; the last one begun ends first.
    """

    def __init__(self) -> None:
        self._open: list[tuple[object, asyncio.Task[object] | None]] = []

    def check(self, fail: Callable[[BaseException], None]) -> None:
        """Before a statement, when it is its turn. Raises StatementRefused in a task that has a savepoint with another
        task's inside; then nothing of the unit is stored.
        """
        tasks = [task for _, task in self._open]
        if tasks and (task := asyncio.current_task()) in tasks and tasks[-1] is not task:
            refused = StatementRefused("Savepoints of several tasks overlap: use a session of its own for each task")
            fail(refused)
            raise refused

    def begun(self, savepoint: object) -> None:
        self._open.append((savepoint, asyncio.current_task()))

    def ended(self, savepoint: object | None) -> None:
        """It, and those inside of it; None is the transaction, with all of them."""
        known = [each for each, _ in self._open]
        if savepoint is None or savepoint in known:
            del self._open[0 if savepoint is None else known.index(savepoint) :]
