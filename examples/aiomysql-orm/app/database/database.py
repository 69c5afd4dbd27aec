"""The database as the service sees it: whose sessions work on which server, and what is run again."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import stamina

from app.database.backend import Session
from app.database.connector import Connector
from app.database.engine import Engine
from app.database.errors import PoolTimeout, Retryable
from app.database.metrics import Status, refused, retried
from app.database.options import IsolationLevel, Options
from app.database.pool import Pool
from app.database.route import Route
from app.database.seat import Seats
from app.database.target import Target
from app.database.tracing import spans_of
from app.database.translation import of_group
from app.database.unit import Unit

T = TypeVar("T")


class _Server:
    """The connections to a server, and what is compiled for it."""

    def __init__(self, target: Target, options: Options) -> None:
        self.engine = Engine()
        self.pool = Pool(Connector(target, options, self.engine.prepare), options)
        self.pool.spans = spans_of(target, self.engine.dialect)
        self.route = Route(self.pool)


class Database:
    """Owns the pools of one process. Built in the lifespan, closed at its end, never a module's global.

    Its methods also serve what is not a request: background tasks, scripts, streams, WebSockets, `gather` (a session
    each). `options` are the settings, app.settings.DatabaseSettings.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._seats: Seats = {}
        self._primary = _Server(options.target, options)
        replica = options.replica_target
        self._replica = _Server(replica, options) if replica else self._primary
        if options.replica_fallback or options.replica_max_lag is not None:  # who is away is behind by any bound
            self._replica.route.spare = self._primary.pool
        self.reads_own_writes = replica is not None and options.replica_read_your_writes
        if self.reads_own_writes:
            self._replica.route.of_writers = self._primary.pool

    def read(self, *, primary: bool = False) -> AbstractAsyncContextManager[Session]:
        """A session whose statements run one by one, each in its own snapshot, and cannot write.

        It may use the replica, which lags: `primary=True` sees every committed write.
        """
        return self._unit(self._primary if primary else self._replica, None)

    def transaction(self, *, isolation_level: IsolationLevel | None = None) -> AbstractAsyncContextManager[Session]:
        """A session in a transaction: committed at the end, rolled back on any exception, which is what is raised.

        `isolation_level` defaults to the service's (`DATABASE_ISOLATION_LEVEL`).
        """
        return self._unit(self._primary, isolation_level or self._options.isolation_level)

    async def run_transaction(
        self,
        work: Callable[[Session], Awaitable[T]],
        *,
        isolation_level: IsolationLevel | None = None,
        attempts: int = 8,
    ) -> T:
        """Run `work` in a transaction, and again as a whole when it met another one, up to `attempts` times.

        COMMIT is part of what is tried again, since a serialization failure may show only there; between attempts the
        place in the pool is free for others. Raises the last Retryable when all attempts are used up. Of a TaskGroup's
        errors, where all are the database's, the first counts.
        """
        async for attempt in stamina.retry_context(
            on=Retryable, attempts=attempts, timeout=None, wait_initial=0.01, wait_max=0.5, wait_jitter=0.05
        ):
            retried.inc(attempt.num > 1)
            with attempt:
                unit = self._unit(self._primary, isolation_level or self._options.isolation_level)
                unit.attempt = attempt.num
                async with unit as session:
                    try:
                        result = await work(session)
                    except StopAsyncIteration as error:  # would end this loop, without a result
                        raise RuntimeError("the work raised StopAsyncIteration") from error
                    except ExceptionGroup as group:
                        if (ours := of_group(group)) is None:
                            raise
                        raise ours from ours.__cause__
        return result

    def of_request(self, *, writing: bool = False, brief: bool = False) -> AbstractAsyncContextManager[Session]:
        """The sessions that a route asks for: they may stand beside one another, since they take turns."""
        server, level = (self._primary, self._options.isolation_level) if writing else (self._replica, None)
        return self._unit(server, level, of_request=True, brief=brief)

    def use_replica(self, usable: bool) -> None:
        """Reads go there from now on, or else to the primary. app/replica.py knows which it should be."""
        self._replica.route.pool = (self._replica if usable else self._primary).pool

    def refuse_if_full(self) -> None:
        """Raises PoolTimeout when a unit of work would be refused at once, whichever pool it is for."""
        if self._primary.pool.is_full and self._replica.route.pool.is_full:
            refused.inc()
            raise PoolTimeout

    def status(self) -> Status:
        """The primary's pool."""
        return self._primary.pool.status()

    def statuses(self) -> dict[str, Status]:
        """All pools, for the metrics."""
        replica = {} if self._replica is self._primary else {"replica": self._replica.pool.status()}
        return {"primary": self.status(), **replica}

    async def close(self) -> None:
        """Close all connections, also those in use: what is under way on them fails."""
        for server in {self._primary, self._replica}:
            await server.pool.close()

    def _unit(
        self, server: _Server, level: IsolationLevel | None, *, of_request: bool = False, brief: bool = False
    ) -> Unit:
        unit = Unit(self._seats, server.route, self._options, level, of_request, brief)
        unit.session = Session(server.engine, unit)
        return unit
