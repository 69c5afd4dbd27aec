"""Which savepoints of a session are open, and whose they are: those of several tasks may stand one in another, while
the outer task waits, but not overlap. What is sent into another task's savepoint is undone with it, and nobody is told.
"""

import asyncio
from collections.abc import Callable

from app.database.errors import StatementRefused


class Savepoints:
    """Those of a unit, each known by an object and by the task that began it; the last one begun ends first."""

    def __init__(self) -> None:
        self._open: list[tuple[object, asyncio.Task[object] | None]] = []

    def check(self, fail: Callable[[BaseException], None]) -> None:
        """Before a statement, when it is its turn. Raises StatementRefused in a task that has a savepoint with another
        task's inside; then nothing of the unit is stored.
        """
        if self._open:
            tasks = [task for _, task in self._open]
            if (task := asyncio.current_task()) in tasks and tasks[-1] is not task:
                refused = StatementRefused(
                    "Savepoints of several tasks overlap: use a session of its own for each task"
                )
                fail(refused)
                raise refused

    def begun(self, savepoint: object) -> None:
        self._open.append((savepoint, asyncio.current_task()))

    def ended(self, savepoint: object | None) -> None:
        """It, and those inside of it; None is the transaction, with all of them."""
        known = [each for each, _ in self._open]
        if savepoint is None or savepoint in known:
            del self._open[0 if savepoint is None else known.index(savepoint) :]
