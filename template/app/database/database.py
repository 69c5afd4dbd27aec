"""The database as the service sees it: who may go in, which session they get, and how long they may stay."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import stamina

from app.database import driver
from app.database.admission import Admission
from app.database.backend import Backend, Session
from app.database.errors import PoolTimeout, Retryable, TransactionTimeout
from app.database.isolation import IsolationLevel
from app.database.translation import translate

if TYPE_CHECKING:
    from app.database.url import Target
    from app.settings import DatabaseSettings

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Status:
    """A pool at this moment, in connections and in tasks that wait for one."""

    places: int
    in_use: int
    waiting: int
    open: int


class _Server:
    """A pool with its admission: the primary's, or the replica's."""

    def __init__(self, target: "Target", settings: "DatabaseSettings") -> None:
        self.admission = Admission(settings.pool_size + settings.max_overflow, settings.pool_timeout)
        self.backend = Backend(settings, self.connect, self.abandon)
        self._ending: set[asyncio.Task[None]] = set()
        self._ending_one = asyncio.Lock()
        self._target = target
        self._settings = settings

    def status(self) -> Status:
        admission = self.admission
        return Status(admission.places, admission.inside, admission.waiting, self.backend.open_connections)

    async def connect(self) -> driver.RawConnection:
        """For the pool, on behalf of a task that was admitted. Raises our errors."""
        try:
            async with asyncio.timeout_at(self.admission.deadline()) as limit:
                return await driver.connect(self._target, self._settings)
        except Exception as error:
            if limit.expired():
                raise PoolTimeout from error
            if ours := translate(error, writing=True):
                raise ours from error
            raise

    def abandon(self, connection: driver.RawConnection) -> None:
        """Drop a connection in an unknown state, and see to it that the server does not go on with its statement."""
        session_id = driver.abandoned_session(connection)
        driver.terminate(connection)
        if session_id is not None:
            task = asyncio.create_task(self._end(session_id))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end(self, session_id: int) -> None:
        async with self._ending_one:  # one spare connection is what the budget has for it
            try:
                connection = await driver.connect(self._target, self._settings)
                await driver.end_session(connection, session_id)
                await driver.close(connection)
            except Exception as error:
                logger.warning("A statement that was given up may run on: %r", error)

    async def close(self) -> None:
        await asyncio.gather(*self._ending)
        await self.backend.close()


class Database:
    """Owns the pools of one process. Built in the lifespan, closed at its end, never a module's global.

    Its methods also serve what is not a request: background tasks, scripts, streams, WebSockets, `gather` (a session
    each).
    """

    def __init__(self, settings: "DatabaseSettings") -> None:
        self._settings = settings
        self._primary = _Server(settings.target, settings)
        self._replica = _Server(settings.replica_target, settings) if settings.replica_target else self._primary

    @asynccontextmanager
    async def read(self, *, primary: bool = False) -> AsyncIterator[Session]:
        """A session whose statements run one by one, each in its own snapshot, and cannot write.

        It may use the replica, which lags: `primary=True` sees every committed write.
        """
        server = self._primary if primary else self._replica
        async with self._unit(server), server.backend.reading() as session:
            yield session

    @asynccontextmanager
    async def transaction(self, *, isolation_level: IsolationLevel | None = None) -> AsyncIterator[Session]:
        """A session in a transaction: committed at the end, rolled back on any exception, which is what is raised.

        `isolation_level` defaults to the service's (`DATABASE_ISOLATION_LEVEL`).
        """
        level = isolation_level or self._settings.isolation_level
        async with self._unit(self._primary), self._primary.backend.writing(level) as session:
            yield session

    async def run_transaction(
        self,
        work: Callable[[Session], Awaitable[T]],
        *,
        isolation_level: IsolationLevel | None = None,
        attempts: int = 8,
    ) -> T:
        """Run `work` in a transaction, and again as a whole when it met another one, up to `attempts` times.

        COMMIT is part of what is tried again, since a serialization failure may show only there; between attempts the
        place in the pool is free for others. Raises the last Retryable when all attempts are used up.
        """
        async for attempt in stamina.retry_context(
            on=Retryable, attempts=attempts, timeout=None, wait_initial=0.01, wait_max=0.5, wait_jitter=0.05
        ):
            with attempt:
                async with self.transaction(isolation_level=isolation_level) as session:
                    result = await work(session)
        return result

    def status(self) -> Status:
        """The primary's pool."""
        return self._primary.status()

    async def close(self) -> None:
        """Close the pools; what is still in use is closed when it is given back."""
        for server in {self._primary, self._replica}:
            await server.close()

    @asynccontextmanager
    async def _unit(self, server: _Server) -> AsyncIterator[None]:
        """A place, then the time limit: around the wait it would answer 504 to those who never got in."""
        async with server.admission:
            try:
                async with asyncio.timeout(self._settings.transaction_timeout) as limit:
                    yield
            except TimeoutError as error:
                if limit.expired():
                    raise TransactionTimeout from error
                raise
