"""Idle connections, the newest on top. Admission stands in front, so nobody ever waits here: a connection is taken from
the stack or opened. What is surplus, old, broken or still in a transaction is closed when it comes back.
"""

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from app.database import driver
from app.database.connector import Connector

if TYPE_CHECKING:
    from app.settings import DatabaseSettings


@dataclass(slots=True, eq=False)
class Pooled:
    raw: driver.RawConnection
    opened: float = field(default_factory=monotonic)
    idle_since: float = field(default_factory=monotonic)


class Pool:
    """Up to `pool_size` connections are kept."""

    def __init__(self, settings: "DatabaseSettings", connector: Connector) -> None:
        self._settings = settings
        self._connector = connector
        self._idle: list[Pooled] = []
        self._closed = False

    async def acquire(self) -> Pooled:
        """A connection that is fit for use: tested if it was idle, replaced if it was old or fails the test."""
        if self._idle:
            pooled = self._idle.pop()
            try:
                idle = monotonic() - pooled.idle_since
                if self._is_young(pooled) and await self._connector.is_usable(pooled.raw, idle):
                    return pooled
            except BaseException:
                self.discard(pooled)
                raise
            self.discard(pooled)
        return Pooled(await self._connector.connect())

    async def release(self, pooled: Pooled) -> None:
        """Take back a connection whose transaction has ended."""
        if driver.is_closed(pooled.raw) or driver.in_transaction(pooled.raw):
            self.discard(pooled)
        elif self._closed or len(self._idle) >= self._settings.pool_size:
            await self._connector.close(pooled.raw)
        else:
            pooled.idle_since = monotonic()
            self._idle.append(pooled)

    def discard(self, pooled: Pooled) -> None:
        """Close a connection in an unknown state, without a round trip."""
        self._connector.abandon(pooled.raw)

    async def close(self) -> None:
        self._closed = True
        while self._idle:
            await self._connector.close(self._idle.pop().raw)

    def _is_young(self, pooled: Pooled) -> bool:
        return self._settings.pool_recycle < 0 or monotonic() - pooled.opened < self._settings.pool_recycle
