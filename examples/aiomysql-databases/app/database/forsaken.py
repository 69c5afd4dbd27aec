"""Units of work that nobody closes: in a generator that is dropped, or entered by hand.

Their limit cancels a task that has ended, and the garbage collector comes in minutes or never; so they end by
themselves, and their connection is free again.
"""

import asyncio
import logging
from contextlib import suppress

from app.database.errors import DatabaseError
from app.database.running import Running

logger = logging.getLogger(__name__)


class Forsaken(Running):
    """The part of a unit that sees to it."""

    def _forsake(self, task: asyncio.Task[object]) -> None:
        """The task has ended: if it was cancelled so does this, else at its limit, since it may have been handed on."""
        when, loop = self._limit.when(), asyncio.get_running_loop()
        if self.over or task is not self._task:
            return
        if task.cancelled() or (when is not None and when <= loop.time()):
            self._ending = loop.create_task(self._give_up(task))
        elif when is not None:
            loop.call_at(when, self._forsake, task)
        else:  # it has no connection, so no limit, and may never begin
            self._seats.pop(task, None)

    async def _give_up(self, task: asyncio.Task[object]) -> None:
        if task is not self._task:  # another one ends it meanwhile
            return
        if not (self.over or task.cancelled()):
            logger.warning("A unit of work was left open by its task, and ended at its limit: use `async with`")
        with suppress(DatabaseError):
            await self.__aexit__(None, asyncio.CancelledError(), None)

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        raise NotImplementedError
