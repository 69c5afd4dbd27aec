"""What the data layer counts, for Prometheus.

A new measure is a line here and a call where it happens; app/metrics.py shows them all, docs/metrics.md lists them.
"""

import logging
from contextvars import ContextVar
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from app.database.statements import described

logger = logging.getLogger(__name__)

SLOW = 1.0  # seconds; a statement that takes longer is logged, without its values

waited = Histogram(
    "database_pool_wait_seconds",
    "Time that units of work waited for a place in the pool",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 5),
)
refused = Counter("database_pool_refused", "Units of work that got no place in the pool in time")
retried = Counter("database_transactions_retried", "Transactions that were run again after they met another one")
transactions = Counter(
    "database_transactions", "Transactions by how they ended; lost: given up, or their COMMIT failed", ["outcome"]
)
committed, rolled_back, lost = (transactions.labels(outcome) for outcome in ("committed", "rolled_back", "lost"))
statements = Histogram(
    "database_statement_seconds",
    "Time that statements took, on the way and on the server, also those that failed",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 5),
)
slow_statements = Counter("database_slow_statements", f"Statements that took longer than {SLOW:g} s")


@dataclass(frozen=True)
class Status:
    """A pool at this moment, in connections and in units of work that wait for one."""

    places: int
    in_use: int
    waiting: int
    open: int
    idle: int


@dataclass(slots=True)
class Tally:
    """What was asked of the database: how many statements, and for how long with BEGIN, COMMIT and ROLLBACK."""

    statements: int = 0
    seconds: float = 0.0


tally: ContextVar[Tally | None] = ContextVar("database_tally", default=None)  # of a request, where somebody wants it


def note_time(seconds: float, statements: int = 0) -> None:
    """Add to the tally of the request."""
    if (of_request := tally.get()) is not None:
        of_request.seconds += seconds
        of_request.statements += statements


def note_statement(statement: str, seconds: float) -> None:
    """Count a statement, also one that failed; one that took long is logged."""
    note_time(seconds, 1)
    statements.observe(seconds)
    if seconds > SLOW:
        slow_statements.inc()
        _, summary, text = described(statement)
        logger.warning("A statement took %.1f s: %s", seconds, text or summary)
