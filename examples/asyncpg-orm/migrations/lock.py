"""One migration at a time: PostgreSQL's lock of a transaction, which all replicas of the service ask for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from app.database import driver


@contextmanager
def of(connection: Connection) -> Iterator[Callable[[], bool]]:
    """To be called at the begin of each transaction of the connection: whether it has the lock, until it ends."""
    yield lambda: connection.execute(text(driver.MIGRATION_LOCK)).scalar() == 1
