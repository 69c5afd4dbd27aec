"""Where a unit of work gets its connections. The readers' route leads elsewhere while the replica is not fit for them;
a unit asks at each statement, so also one that lives for hours, a WebSocket's, follows.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from app.database import errors
from app.database.pool import Pool


@dataclass(slots=True)
class Writer:
    """The client of a request: whether it wrote in one of the last requests, and whether it did in this one. It reads
    at the primary, as the replica may not have it yet; app/own_writes.py knows for how long.
    """

    lately: bool
    now: bool = False


writer: ContextVar[Writer | None] = ContextVar("database_writer", default=None)  # of a request, where somebody wants it


def note_write() -> None:
    if (client := writer.get()) is not None:
        client.now = True


@dataclass(slots=True)
class Route:
    """`pool` is the usual one; `spare`, if any, is of the server that serves a read when that of `pool` does not, and
    `of_writers` is for a client that may look for what it has just written.
    """

    pool: Pool
    spare: Pool | None = None
    of_writers: Pool | None = None

    @property
    def now(self) -> Pool:
        client = None if self.of_writers is None else writer.get()
        return self.of_writers if self.of_writers and client and (client.lately or client.now) else self.pool

    def around(self, tried: Pool, error: errors.DatabaseError) -> "Route | None":
        """The way on for a read that ended like this; None where another server would not do better, or is none.

        A pool that is full is no reason: what one server cannot bear would only come down upon the other.
        """
        full = isinstance(error, errors.PoolTimeout) and error.__cause__ is None
        # A standby ends a read that is in the way of what it replays: that is the serialization failure.
        unserved = isinstance(error, errors.Unavailable | errors.SerializationFailure) and not full
        return Route(self.spare) if self.spare is not None and self.spare is not tried and unserved else None
