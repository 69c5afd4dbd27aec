"""How far the replica is behind, for /metrics: asked now and then, over a connection of its own, in every worker.

So the pool of its readers may be full, and the replica away, and the number still says so.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import Gauge

from app.database import DatabaseError, StatementTimeout, Unavailable
from app.database.replication import seconds_behind
from app.settings import DatabaseSettings
from app.startup import Probe

logger = logging.getLogger(__name__)

ASKED_EVERY = 5.0  # seconds, and how long an answer may take
AWAY = float("inf")

# By the pool, as the pools are: without a label it would be there, as 0, where no replica is.
lag = Gauge(
    "database_replica_lag_seconds",
    "How far the replica is behind; infinite while it is away or gets nothing from its primary",
    ["pool"],
    multiprocess_mode="livemax",
)


@asynccontextmanager
async def watched_replica(settings: DatabaseSettings) -> AsyncIterator[None]:
    """Keep the number up to date, where there is a replica."""
    if settings.replica_target is None:
        yield
        return
    probe = Probe(settings.replica_target, settings)
    watching = asyncio.create_task(_watch(probe))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await probe.close()


async def _watch(probe: Probe) -> None:
    while True:
        try:
            lag.labels("replica").set(await measured(probe))
        except DatabaseError as error:
            logger.warning("The replica does not say how far it is behind: %s (%.300r)", error, error.__cause__)
            return
        await asyncio.sleep(ASKED_EVERY)


async def measured(probe: Probe) -> float:
    """The seconds, infinite for a replica that is away. Raises DatabaseError when the user may not ask."""
    try:
        async with asyncio.timeout(ASKED_EVERY):
            return await probe.ask(seconds_behind)
    except (TimeoutError, StatementTimeout, Unavailable):
        return AWAY
