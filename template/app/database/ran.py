"""What a driver says of a statement that it ran: the one form in which rows leave a driver module."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Ran:
    """Rows as the driver made them, the columns as the DB-API describes them, and the counts that the server gave."""

    rows: Sequence[Any]
    description: Any
    rowcount: int
    lastrowid: int | None = None
    more: Callable[[int], Awaitable[Sequence[Any]]] | None = None  # of a stream: as many further rows
