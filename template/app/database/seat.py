"""What a task holds of the database: one connection at most, for all of its units of work."""

import asyncio
from typing import TYPE_CHECKING

from app.database.connector import Connection
from app.database.pool import Pool

if TYPE_CHECKING:
    from app.database.unit import Unit


class Seat:
    """`holder` is the unit whose time limit runs for the connection, `sending` the one whose reply is outstanding."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.units = 0
        self.pool: Pool | None = None
        self.connection: Connection | None = None
        self.holder: Unit | None = None
        self.sending: Unit | None = None
        self.transaction: Unit | None = None

    async def take(self, pool: Pool) -> Connection:
        """A connection of this pool. One of another, the replica's, is given back before."""
        await self.leave()
        self.connection, self.pool = connection, _ = await pool.acquire(), pool
        return connection

    async def leave(self) -> None:
        connection, pool, self.connection, self.holder = self.connection, self.pool, None, None
        if connection is not None and pool is not None:
            if connection.keeps_state:
                await pool.retire(connection)
            else:
                pool.release(connection)

    def abandon(self, connection: Connection | None) -> None:
        """Give up a connection on which a reply may be outstanding, unless that has been done."""
        if connection is not None and connection is self.connection and self.pool is not None:
            self.connection = None
            self.pool.abandon(connection)
