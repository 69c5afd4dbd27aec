"""Connections for a pool: opened in time or an error, tested after a pause; what is given up ends on the server too."""

import asyncio
import logging
from typing import TYPE_CHECKING

from app.database import driver
from app.database.admission import Admission
from app.database.errors import PoolTimeout
from app.database.liveness import is_usable
from app.database.translation import translate

if TYPE_CHECKING:
    from app.database.url import Target
    from app.settings import DatabaseSettings

logger = logging.getLogger(__name__)


class Connector:
    """To one server, on behalf of tasks that `admission` let in."""

    def __init__(self, target: "Target", settings: "DatabaseSettings", admission: Admission) -> None:
        self._target = target
        self._settings = settings
        self._admission = admission
        self._open: set[driver.RawConnection] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._ending_one = asyncio.Lock()

    @property
    def open_connections(self) -> int:
        return len(self._open)

    async def connect(self) -> driver.RawConnection:
        """A new connection. Raises our errors."""
        try:
            async with asyncio.timeout_at(self._admission.deadline()) as limit:
                connection = await driver.connect(self._target, self._settings)
        except Exception as error:
            if limit.expired():
                raise PoolTimeout from error
            if ours := translate(error, writing=True):
                raise ours from error
            raise
        self._open.add(connection)
        return connection

    async def is_usable(self, connection: driver.RawConnection, idle: float) -> bool:
        """Whether a connection that was given back `idle` seconds ago may be handed out again."""
        return await is_usable(connection, idle, self._settings, self._admission.deadline())

    async def close(self, connection: driver.RawConnection) -> None:
        """Close a connection that nothing is under way on."""
        self._open.discard(connection)
        await driver.close(connection)

    def abandon(self, connection: driver.RawConnection) -> None:
        """Drop a connection in an unknown state, and see to it that the server does not go on with its statement."""
        self._open.discard(connection)
        left_behind = driver.left_behind(connection)
        driver.terminate(connection)
        if left_behind and not self._settings.external_pooler:  # whose numbers are not the server's
            task = asyncio.create_task(self._end(left_behind))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end(self, left_behind: driver.LeftBehind) -> None:
        async with self._ending_one:  # one spare connection is what the budget has for it
            try:
                connection = await driver.connect(self._target, self._settings)
                await left_behind(connection)
                await driver.close(connection)
            except Exception as error:
                logger.warning("A statement that was given up may run on: %r", error)

    async def stop(self) -> None:
        """Wait for what is being ended, but not for long: the server may be gone."""
        if self._ending:
            _, pending = await asyncio.wait(self._ending, timeout=self._settings.connect_timeout)
            for task in pending:
                task.cancel()
