"""Connections for a pool: opened in time or an error, tested after a pause; what is given up ends on the server too."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from time import monotonic

from app.database import driver
from app.database.errors import PoolTimeout, ServerGone
from app.database.options import Options
from app.database.target import Target
from app.database.translation import translate, translated

logger = logging.getLogger(__name__)

PING_AFTER = 5.0  # seconds of idleness: under load no connection is ever asked


@dataclass(slots=True, eq=False)
class Connection:
    raw: driver.RawConnection
    expires: float
    idle_since: float = 0.0
    keeps_state: bool = False  # of a session: it must not be handed on


class Connector:
    """To one server. `prepare` is called with each new connection."""

    def __init__(
        self, target: Target, options: Options, prepare: Callable[[driver.RawConnection], Awaitable[None]]
    ) -> None:
        self._target, self._options, self._prepare = target, options, prepare
        self.open: set[Connection] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._ending_one = asyncio.Lock()
        self._finished = False

    async def connect(self, deadline: float) -> Connection:
        """A new connection, by `deadline` on the loop's clock. Raises our errors."""
        if self._finished:
            raise ServerGone("The database was closed")
        with translated(writing=True):
            try:
                async with asyncio.timeout_at(deadline) as limit:
                    raw = await driver.connect(self._target, self._options)
                    try:
                        await self._prepare(raw)
                    except BaseException:
                        driver.terminate(raw)
                        raise
            except Exception as error:
                if limit.expired():
                    raise PoolTimeout from error
                raise
        # Not all at once, when many were opened together.
        life = self._options.pool_recycle * random.uniform(0.9, 1) if self._options.pool_recycle >= 0 else float("inf")
        self.open.add(connection := Connection(raw, monotonic() + life))
        if self._finished:  # while it was opened
            self.drop(connection)
            raise ServerGone("The database was closed")
        return connection

    async def is_usable(self, connection: Connection, deadline: float) -> bool:
        """Whether an idle connection may be handed out; if not it is dropped.

        One that the server closed is seen without a round trip; one that was idle for long is asked, since a firewall
        or a failover may have dropped it without a word (`pool_pre_ping`).
        """
        now = monotonic()
        try:
            if not driver.is_closed(connection.raw) and now < connection.expires:
                if self._options.pool_pre_ping and now - connection.idle_since >= PING_AFTER:
                    async with asyncio.timeout_at(deadline), asyncio.timeout(self._options.connect_timeout):
                        await driver.ping(connection.raw)
                return True
        except BaseException as error:
            self.drop(connection)
            if translate(error, writing=True) is None:
                raise
        self.drop(connection)
        return False

    def drop(self, connection: Connection) -> None:
        """Give up a connection in an unknown state, and see to it that the server does not go on with its statement."""
        if connection in self.open:
            self.open.discard(connection)
            left_behind = driver.left_behind(connection.raw)
            driver.terminate(connection.raw)
            if left_behind:
                self._in_background(self._end(left_behind))

    def close_soon(self, connection: Connection, then: Callable[[], None] = lambda: None) -> None:
        """Close a connection that nothing is under way on; `then` it is none of the server's any more."""
        self.open.discard(connection)
        self._in_background(driver.close(connection.raw)).add_done_callback(lambda _: then())

    async def finish(self) -> None:
        """Drop all, wait for what is being ended, but not for long: the server may be gone."""
        self._finished = True
        for connection in list(self.open):
            self.drop(connection)
        if self._ending:
            _, pending = await asyncio.wait(self._ending, timeout=self._options.connect_timeout)
            for task in pending:
                task.cancel()

    def _in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        self._ending.add(task := asyncio.get_running_loop().create_task(work))
        task.add_done_callback(self._ending.discard)
        return task

    async def _end(self, left_behind: driver.LeftBehind) -> None:
        async with self._ending_one:  # one spare connection is what the budget has for it
            try:
                async with asyncio.timeout(self._options.connect_timeout):  # else nothing is ended after one that hangs
                    raw = await driver.connect(self._target, self._options)
                    try:
                        await left_behind(raw)
                        await driver.close(raw)
                    finally:
                        driver.terminate(raw)
            except Exception as error:
                logger.warning("A statement that was given up may run on: %r", error)
