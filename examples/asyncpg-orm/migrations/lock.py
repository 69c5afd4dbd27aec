"""One migration at a time: PostgreSQL's lock of a transaction, which all replicas of the service ask for."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from app.database import driver
from migrations import server

WAIT = math.inf


@contextmanager
def of(connection: Connection) -> Iterator[Callable[[], bool]]:
    """To be called at the begin of each transaction of the connection: whether it has the lock, until this block ends.

    On a connection of its own, since an autocommit block ends the migration's transactions. It is asked for, never
    waited for: CREATE INDEX CONCURRENTLY waits for all who have a snapshot, as who waits for a lock has.
    """
    with connection.engine.connect().execution_options(isolation_level="READ COMMITTED") as holder:

        def has_it() -> bool:
            if not holder.in_transaction():
                holder.execute(text(server.limits(0)))
            has: bool = holder.execute(text(driver.MIGRATION_LOCK)).scalar_one()
            if has:
                holder.execute(text("SET LOCAL lock_timeout = 0"))  # ends the SELECT's portal, and so its snapshot
            else:
                holder.rollback()
            return has

        yield has_it
