"""What a task holds of the database: one connection at most, on which one statement at a time is under way.

No reply is ever met by another statement or by the next user: a connection whose reply is outstanding is given up.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from app.database import driver, tracing
from app.database.connector import Connection
from app.database.errors import DatabaseError, ReadOnlyServer, ServerGone, StatementUnderWay
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
            if ours is None:
                raise
            raise ours from (None if ours is error else error)
        except BaseException:  # cancelled: the reply is still to come
            self.abandon(connection)
            raise


Seats: TypeAlias = dict[asyncio.Task[Any], Seat]
