"""First come, first served, in front of the pool: at most `places` tasks inside, a bounded queue, a bounded wait.

Nobody waits in a library's pool: some let newcomers overtake, lose wake-ups, or wait for ever. A task that is inside
and asks again is refused at once, since two of them may wait for each other's place.
"""

import asyncio
from types import TracebackType

from app.database.errors import NestedSession, PoolTimeout

WAITERS_PER_PLACE = 100  # more than this could hardly be served before `timeout`, so they are told at once


class Admission:
    """Places for `async with`, handed out in the order of arrival.

    `timeout` in seconds bounds the wait for a place and the opening of a connection together (`deadline`).
    """

    def __init__(self, places: int, timeout: float) -> None:
        self.places = places
        self.timeout = timeout
        self.waiting = 0
        self._free = asyncio.Semaphore(places)  # first in, first out since Python 3.11
        self._deadlines: dict[asyncio.Task[object], float] = {}

    @property
    def inside(self) -> int:
        return len(self._deadlines)

    def deadline(self) -> float:
        """Until when, on the loop's clock, the current task may wait for its connection."""
        return self._deadlines[_current_task()]

    async def __aenter__(self) -> None:
        task = _current_task()
        if task in self._deadlines:
            raise NestedSession
        deadline = asyncio.get_running_loop().time() + self.timeout
        if self._free.locked():
            await self._wait(deadline)
        else:
            await self._free.acquire()  # does not yield to the loop
        self._deadlines[task] = deadline

    async def _wait(self, deadline: float) -> None:
        if self.waiting >= self.places * WAITERS_PER_PLACE:
            raise PoolTimeout
        self.waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._free.acquire()
        except TimeoutError:
            raise PoolTimeout from None
        finally:
            self.waiting -= 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del self._deadlines[_current_task()]
        self._free.release()


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None, "a coroutine always runs in a task"
    return task
