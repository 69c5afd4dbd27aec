"""How long a migration waits: for another one as long as that takes, for what others use not longer than seconds, since
all who come next wait behind it; then it tries again.
"""

import logging
import random
import time
from collections.abc import Callable

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.database import Retryable
from migrations import lock, server, way_out
from migrations.kept import Kept

logger = logging.getLogger("migrations")


def begin(connection: Connection, has_lock: Callable[[], bool]) -> None:
    """At the begin of each transaction, of which a migration with an autocommit block has several."""
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    until, told = time.monotonic() + lock.WAIT, False
    while not has_lock():  # before anything is read here: CREATE INDEX CONCURRENTLY waits for all who have a snapshot
        if not told:
            logger.info("Another migration is under way: waiting for its end")
            told = True
        if time.monotonic() > until:
            raise SystemExit("Another migration holds the lock: wait for it, or end it on the server.")
        time.sleep(random.uniform(0.1, 0.5))  # nothing else runs in this loop
    connection.execute(text(server.limits(_lock_wait())))


def run(connection: Connection, kept: Kept) -> None:
    """Who waits for the lock of a table lets all others wait behind it: so not for long, but several times, unless
    that would repeat what is in the database.
    """
    attempts, wait = (max(1, int(context.config.get_main_option("lock_attempts", "10"))), _lock_wait())
    for attempt in range(1, attempts + 1):
        try:
            with context.begin_transaction():
                context.run_migrations()
            return
        except DBAPIError as error:
            if kept.statements or not isinstance(way_out.our_error(error), Retryable):
                raise
            connection.rollback()
            if attempt == attempts:
                raise SystemExit(
                    f"The migration gave up after {attempts} attempts to get within {wait} s a lock that another"
                    f" session holds: end the long transaction ({server.LOCKS} shows it) or choose a quieter time, and"
                    " run it again; what is not complete was undone."
                ) from error
            logger.warning("Attempt %d of %d met another session's lock", attempt, attempts)
            time.sleep(wait / 2)  # those who waited behind it go first; nothing else runs in this loop


def _lock_wait() -> int:
    """Seconds."""
    return int(context.config.get_main_option("lock_wait", "3"))
