"""Who has written reads at the primary: the replica may not have it yet.

app/own_writes.py carries that over a client's next requests, and knows for how long; here is the part within one.
"""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Writer:
    """The client of a request: whether it wrote in one of the last requests, and whether it did in this one."""

    lately: bool
    now: bool = False


writer: ContextVar[Writer | None] = ContextVar("database_writer", default=None)  # of a request, where somebody wants it


def note_write() -> None:
    if (client := writer.get()) is not None:
        client.now = True


def has_written() -> bool:
    client = writer.get()
    return client is not None and (client.lately or client.now)
