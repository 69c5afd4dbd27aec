"""First come, first served, in front of the pool: at most `places` tasks inside, a bounded queue, a bounded wait.

Nobody waits in a library's pool: some let newcomers overtake, lose wake-ups, or wait for ever. A task that is inside
and asks again is refused at once, since two of them may wait for each other's place.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

from app.database import metrics
from app.database.errors import NestedSession, PoolTimeout

Task: TypeAlias = "asyncio.Task[object]"

WAITERS_PER_PLACE = 50  # more than this could hardly be served before `timeout`, so they are told at once


class Admission:
    """Places, handed out in the order of arrival.

    `timeout` in seconds bounds the wait for a place and the opening of a connection together (`deadline`). `deadlines`
    is shared by the admissions between which a task may not be divided.
    """

    def __init__(self, places: int, timeout: float, deadlines: dict[Task, float] | None = None) -> None:
        self.places = places
        self.timeout = timeout
        self.inside = 0
        self.waiting = 0
        self._free = asyncio.Semaphore(places)  # first in, first out since Python 3.11
        self._deadlines = {} if deadlines is None else deadlines

    @property
    def is_full(self) -> bool:
        """Whether so many wait that one more is told at once."""
        return self.waiting >= self.places * WAITERS_PER_PLACE

    def deadline(self) -> float:
        """Until when, on the loop's clock, the current task may wait for its connection."""
        return self._deadlines[_current_task()]

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place. Raises NestedSession, PoolTimeout."""
        task = _current_task()
        if task in self._deadlines:
            raise NestedSession
        now = asyncio.get_running_loop().time()
        if self._free.locked():
            await self._wait(now)
        else:
            await self._free.acquire()  # does not yield to the loop
            metrics.waited.observe(0)
        self._deadlines[task] = now + self.timeout
        self.inside += 1
        try:
            yield
        finally:  # of this task, although another may close a generator that was abandoned
            del self._deadlines[task]
            self.inside -= 1
            self._free.release()

    async def _wait(self, since: float) -> None:
        if self.is_full:
            metrics.refused.inc()
            raise PoolTimeout
        self.waiting += 1
        try:
            async with asyncio.timeout_at(since + self.timeout):
                await self._free.acquire()
        except TimeoutError:
            metrics.refused.inc()
            raise PoolTimeout from None
        finally:
            self.waiting -= 1
            metrics.waited.observe(asyncio.get_running_loop().time() - since)


def _current_task() -> Task:
    task = asyncio.current_task()
    assert task is not None, "a coroutine always runs in a task"
    return task
