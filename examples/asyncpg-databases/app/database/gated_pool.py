"""A pool with admission in front: who was admitted gets a connection in time or an error, and what they give up on ends
on the server too.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from app.database import driver
from app.database.admission import Admission, Task
from app.database.backend import Backend
from app.database.errors import PoolTimeout
from app.database.metrics import Status
from app.database.translation import translate

if TYPE_CHECKING:
    from app.database.url import Target
    from app.settings import DatabaseSettings

logger = logging.getLogger(__name__)


class GatedPool:
    """The connections to one server."""

    def __init__(self, target: "Target", settings: "DatabaseSettings", deadlines: dict[Task, float]) -> None:
        self.admission = Admission(settings.pool_size + settings.max_overflow, settings.pool_timeout, deadlines)
        self.backend = Backend(settings, self.connect, self.abandon)
        self._ending: set[asyncio.Task[None]] = set()
        self._ending_one = asyncio.Lock()
        self._target = target
        self._settings = settings

    def status(self) -> Status:
        admission = self.admission
        return Status(admission.places, admission.inside, admission.waiting, self.backend.open_connections)

    async def connect(self) -> driver.RawConnection:
        """For the pool, on behalf of a task that was admitted. Raises our errors."""
        try:
            async with asyncio.timeout_at(self.admission.deadline()) as limit:
                return await driver.connect(self._target, self._settings)
        except Exception as error:
            if limit.expired():
                raise PoolTimeout from error
            if ours := translate(error, writing=True):
                raise ours from error
            raise

    def abandon(self, connection: driver.RawConnection) -> None:
        """Drop a connection in an unknown state, and see to it that the server does not go on with its statement."""
        session_id = driver.abandoned_session(connection)
        driver.terminate(connection)
        if session_id is not None and not self._settings.external_pooler:  # whose numbers are not the server's
            task = asyncio.create_task(self._end(session_id))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end(self, session_id: int) -> None:
        async with self._ending_one:  # one spare connection is what the budget has for it
            try:
                connection = await driver.connect(self._target, self._settings)
                await driver.end_session(connection, session_id)
                await driver.close(connection)
            except Exception as error:
                logger.warning("A statement that was given up may run on: %r", error)

    async def close(self) -> None:
        await asyncio.gather(*self._ending)
        await self.backend.close()
