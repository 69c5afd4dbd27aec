"""What the data layer counts, for Prometheus. Each process counts for itself, as prometheus-client does.

A new measure is a line here and a call where it happens; app/metrics.py shows them all.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import monotonic

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

SLOW = 1.0  # seconds; a statement that takes longer is logged, without its values

waited = Histogram(
    "database_pool_wait_seconds",
    "Time that units of work waited for a place in the pool",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 5),
)
refused = Counter("database_pool_refused", "Units of work that got no place in the pool in time")
retried = Counter("database_transactions_retried", "Transactions that were run again after they met another one")
slow_statements = Counter("database_slow_statements", f"Statements that took longer than {SLOW:g} s")


@dataclass(frozen=True)
class Status:
    """A pool at this moment, in connections and in units of work that wait for one."""

    places: int
    in_use: int
    waiting: int
    open: int


class PoolCollector(Collector):
    """The pools' status at the time of asking."""

    def __init__(self, statuses: Callable[[], dict[str, Status]]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterable[GaugeMetricFamily]:
        gauges: dict[str, GaugeMetricFamily] = {}
        for pool, status in self._statuses().items():
            for name, number in asdict(status).items():
                gauge = gauges.setdefault(
                    name, GaugeMetricFamily(f"database_pool_{name}", f"Connection pool: {name}", labels=["pool"])
                )
                gauge.add_metric([pool], number)
        return gauges.values()


@contextmanager
def timed(statement: object) -> Iterator[None]:
    """Around a statement: a slow one is counted and logged, also when it fails."""
    started = monotonic()
    try:
        yield
    finally:
        if (seconds := monotonic() - started) > SLOW:
            slow_statements.inc()
            logger.warning("A statement took %.1f s: %s", seconds, " ".join(str(statement).split()))
