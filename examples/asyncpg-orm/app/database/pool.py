"""The connections to one server: a place for each in the order of arrival, a bounded queue, a bounded wait.

Nobody waits for ever and no newcomer overtakes. Connections beyond `pool_size` stay while they are needed and close
after some idle seconds; the shape is psycopg_pool's.
"""

import asyncio
from collections import deque
from contextlib import suppress
from time import monotonic

from app.database import driver, metrics
from app.database.connector import Connection, Connector
from app.database.errors import PoolTimeout, StatementRefused
from app.database.options import Options
from app.database.tracing import Spans

WAITERS_PER_PLACE = 50  # more than this could hardly be served before `pool_timeout`, so they are told at once
SURPLUS_AFTER = 10.0  # seconds of idleness after which a connection beyond `pool_size` is closed


class Pool:
    """At most `pool_size + max_overflow` connections."""

    def __init__(self, connector: Connector, options: Options) -> None:
        self.spans: Spans | None = None  # of the units that it serves
        self.places = self._free = options.pool_size + options.max_overflow
        self._connector, self._options = connector, options
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._idle: list[Connection] = []  # the newest on top, so that surplus ones grow old
        self._shrinking: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def check_loop(self) -> None:
        """Raises StatementRefused in another event loop than the one that used it first, which its connections need."""
        if self._loop is not (loop := asyncio.get_running_loop()):
            if self._loop is not None:
                raise StatementRefused("A Database serves the event loop that used it first: make one for this loop")
            self._loop = loop

    @property
    def is_full(self) -> bool:
        """Whether so many wait that one more is told at once."""
        return len(self._waiters) >= self.places * WAITERS_PER_PLACE

    def status(self) -> metrics.Status:
        open_now = len(self._connector.open)
        return metrics.Status(self.places, self.places - self._free, len(self._waiters), open_now, len(self._idle))

    async def acquire(self) -> Connection:
        """A connection, within `pool_timeout` seconds for the wait and the opening together. Raises our errors."""
        deadline = asyncio.get_running_loop().time() + self._options.pool_timeout
        if self._free and not self._waiters:
            self._free -= 1
            metrics.waited.observe(0)
        else:
            await self._wait(deadline)
        try:
            while self._idle:
                connection = self._idle.pop()
                if await self._connector.is_usable(connection, deadline):
                    return connection
            return await self._connector.connect(deadline)
        except BaseException:
            self._leave()
            raise

    def release(self, connection: Connection) -> None:
        """Take back a connection on which nothing is under way."""
        connection.idle_since = monotonic()
        if driver.is_closed(connection.raw) or driver.in_transaction(connection.raw):
            self._connector.drop(connection)
        elif connection.idle_since >= connection.expires:
            self._connector.close_soon(connection, then=self._leave)
            return
        else:
            self._idle.append(connection)
            if len(self._connector.open) > self._options.pool_size and self._shrinking is None:
                self._shrinking = asyncio.get_running_loop().call_later(SURPLUS_AFTER, self._shrink)
        self._leave()

    async def retire(self, connection: Connection) -> None:
        """Take back a connection whose session has a state, and close it before anybody has its place."""
        self._connector.open.discard(connection)
        try:
            await driver.retire(connection.raw)
        finally:
            self._leave()

    def abandon(self, connection: Connection) -> None:
        """Take back a connection in an unknown state, without a round trip."""
        self._connector.drop(connection)
        self._leave()

    async def close(self) -> None:
        """Close all connections, also those in use: what is under way on them fails."""
        self.check_loop()
        if self._shrinking:
            self._shrinking.cancel()
        while self._idle:
            self._connector.close_soon(self._idle.pop())
        await self._connector.finish()

    async def _wait(self, deadline: float) -> None:
        if self.is_full:
            metrics.refused.inc()
            raise PoolTimeout
        loop = asyncio.get_running_loop()
        began, waiter = loop.time(), loop.create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():  # the place came at the same moment
                self._leave()
            with suppress(ValueError):
                self._waiters.remove(waiter)
            if not isinstance(error, TimeoutError):
                raise
            metrics.refused.inc()
            raise PoolTimeout from None
        finally:
            metrics.waited.observe(loop.time() - began)

    def _leave(self) -> None:
        """The place goes to the first who waits for it."""
        while self._waiters:
            if not (waiter := self._waiters.popleft()).done():
                waiter.set_result(None)
                return
        self._free += 1

    def _shrink(self) -> None:
        """Close surplus connections that nobody has needed for a while; the oldest are at the bottom."""
        self._shrinking = None
        while self._idle and len(self._connector.open) > self._options.pool_size:
            if (wait := self._idle[0].idle_since + SURPLUS_AFTER - monotonic()) > 0:
                self._shrinking = asyncio.get_running_loop().call_later(wait, self._shrink)
                return
            self._connector.close_soon(self._idle.pop(0))
