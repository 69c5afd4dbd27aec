"""The database as the service sees it: who may go in, which session they get, and how long they may stay."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import stamina

from app.database.admission import Task
from app.database.backend import Session
from app.database.errors import PoolTimeout, Retryable, TransactionTimeout
from app.database.gated_pool import GatedPool
from app.database.isolation import IsolationLevel
from app.database.metrics import Status, refused, retried

if TYPE_CHECKING:
    from app.settings import DatabaseSettings

T = TypeVar("T")


class Database:
    """Owns the pools of one process. Built in the lifespan, closed at its end, never a module's global.

    Its methods also serve what is not a request: background tasks, scripts, streams, WebSockets, `gather` (a session
    each).
    """

    def __init__(self, settings: "DatabaseSettings") -> None:
        self._settings = settings
        deadlines: dict[Task, float] = {}  # one: a session on the replica and one on the primary are nested too
        self._primary = GatedPool(settings.target, settings, deadlines)
        replica = settings.replica_target
        self._replica = GatedPool(replica, settings, deadlines) if replica else self._primary

    @asynccontextmanager
    async def read(self, *, primary: bool = False) -> AsyncIterator[Session]:
        """A session whose statements run one by one, each in its own snapshot, and cannot write.

        It may use the replica, which lags: `primary=True` sees every committed write.
        """
        pool = self._primary if primary else self._replica
        async with self._unit(pool), pool.backend.reading() as session:
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
            retried.inc(attempt.num > 1)
            with attempt:
                async with self.transaction(isolation_level=isolation_level) as session:
                    result = await work(session)
        return result

    def refuse_if_full(self) -> None:
        """Raises PoolTimeout when a unit of work would be refused at once, whichever pool it is for."""
        if self._primary.admission.is_full and self._replica.admission.is_full:
            refused.inc()
            raise PoolTimeout

    def status(self) -> Status:
        """The primary's pool."""
        return self._primary.status()

    def statuses(self) -> dict[str, Status]:
        """All pools, for the metrics."""
        replica = {} if self._replica is self._primary else {"replica": self._replica.status()}
        return {"primary": self._primary.status(), **replica}

    async def close(self) -> None:
        """Close the pools; what is still in use is closed when it is given back."""
        for pool in {self._primary, self._replica}:
            await pool.close()

    @asynccontextmanager
    async def _unit(self, pool: GatedPool) -> AsyncIterator[None]:
        """A place, then the time limit: around the wait it would answer 504 to those who never got in."""
        async with pool.admission.place():
            try:
                async with asyncio.timeout(self._settings.transaction_timeout) as limit:
                    yield
            except TimeoutError as error:
                if limit.expired():
                    raise TransactionTimeout from error
                raise
