"""May the replica be read from? It is watched once a second, never for a request, on a connection of its own:
readiness, the metric and the way of the reads go by what was found last.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from math import inf, isfinite, isnan
from typing import TypeVar

from prometheus_client import Gauge

from app.database import Database, DatabaseError, StatementTimeout, Unavailable, dialect, driver
from app.database.replication import Positions
from app.settings import DatabaseSettings
from app.startup import Probe

logger = logging.getLogger(__name__)

T = TypeVar("T")

ASKED_EVERY = 1.0  # seconds
ANSWERS_WITHIN = 2.0  # both servers
KNOWN_WITHIN = 2 * (ASKED_EVERY + ANSWERS_WITHIN)  # one time to see where the primary was, one that it was long ago
LAGS_AFTER = 10.0  # where no bound is set

# By the pool, as the pools are: without a label it would be there, as 0, where no replica is.
lag = Gauge(
    "database_replica_lag_seconds",
    "How far the replica is behind; infinite while it is away or follows nobody, NaN where nobody can tell",
    ["pool"],
    multiprocess_mode="livemax",
)


class ReplicaLags(Exception):
    """The replica answers, without what the primary had longer ago than is allowed."""


class SharedProbe(Probe):
    """For several callers, who take turns."""

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__(settings.target, settings)
        self._turn = asyncio.Lock()

    async def ask(self, question: Callable[[driver.RawConnection], Awaitable[T]]) -> T:
        async with self._turn:
            return await super().ask(question)


class Replica:
    """What is known of it. `primary` is asked where it is, `database` is told whether to read from the replica."""

    def __init__(self, settings: DatabaseSettings, primary: Probe, database: Database) -> None:
        assert settings.replica_target is not None, "who has no replica watches none"
        self._primary, self.probe, self._database = (primary, Probe(settings.replica_target, settings), database)
        self._bound, self._fallback = (settings.replica_max_lag, settings.replica_fallback)
        self._positions = Positions()
        self._said_unknown = False
        self._usable = True
        self._lag = 0.0
        self._fault: Exception | None = None

    async def check(self) -> None:
        """Raises what was found last: why it does not answer, or ReplicaLags."""
        if self._fault is not None:
            raise self._fault
        if self._lag > (LAGS_AFTER if self._bound is None else self._bound):
            raise ReplicaLags

    async def look(self) -> None:
        """Ask both, show the lag, and lead the reads accordingly."""
        deadline = asyncio.get_running_loop().time() + ANSWERS_WITHIN
        with suppress(Exception):  # while the primary is away it goes no further, and reads have no other server
            await _by(deadline - ANSWERS_WITHIN / 2, self._primary.ask(self._positions.note))
        self._fault = None
        try:
            self._lag = await _by(deadline, self.probe.ask(self._positions.behind))
        except Exception as error:
            if isinstance(error, DatabaseError) and not isinstance(error, StatementTimeout | Unavailable):
                self._lag = self._positions.unknown  # it answers: perhaps a provider's, without that function
            else:
                self._lag, self._fault = inf, error
        lag.labels("replica").set(self._lag)
        self._lead()

    def _lead(self) -> None:
        away = self._fault is not None
        if isnan(self._lag) and not self._said_unknown:
            self._said_unknown = True
            logger.warning("How far the replica is behind is not known: it takes %s", dialect.POSITIONS)
        usable = not (away and self._fallback) if self._bound is None else self._lag <= self._bound
        if usable != self._usable:
            self._usable = usable
            self._database.use_replica(usable)
            if usable:
                logger.info("Reads go to the replica again")
            else:
                known = f"it is {self._lag:.1f} s behind" if isfinite(self._lag) else "its lag is not known"
                why = "it does not answer" if away else known
                logger.warning("Reads go to the primary instead of the replica: %s", why)


@asynccontextmanager
async def watched_replica(
    settings: DatabaseSettings, primary: Probe, database: Database
) -> AsyncIterator[Replica | None]:
    """What is known of the replica, kept up to date; None where there is none."""
    if settings.replica_target is None:
        yield None
        return
    replica = Replica(settings, primary, database)
    await replica.look()
    watching = asyncio.create_task(_watch(replica))
    try:
        yield replica
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await replica.probe.close()


async def _by(deadline: float, asking: Awaitable[T]) -> T:
    """The answer. Raises TimeoutError also where what it waits for was cancelled by somebody else."""
    try:
        async with asyncio.timeout_at(deadline):
            return await asking
    except asyncio.CancelledError as error:
        if (task := asyncio.current_task()) is None or task.cancelling():
            raise
        raise TimeoutError from error


async def _watch(replica: Replica) -> None:
    while True:
        await asyncio.sleep(ASKED_EVERY)
        await replica.look()
