"""`session.transaction()`: a savepoint, begun and ended as in the `databases` library. When what it should undo cannot
be undone alone, nothing of the unit of work is stored.
"""

from collections.abc import Generator
from contextlib import suppress
from typing import Any

from app.database.errors import StatementRefused
from app.database.unit import Unit


class Savepoint:
    """Use it by `async with`; or `await` it, and `commit()` or `rollback()` what that returns."""

    def __init__(self, unit: Unit, name: str, force_rollback: bool) -> None:
        self._unit, self._name, self._force_rollback = (unit, name, force_rollback)
        self._is_open = False

    async def start(self) -> "Savepoint":
        await self._unit.run(f"SAVEPOINT {self._name}", ())
        self._unit.savepoints.begun(self)
        self._is_open = True
        return self

    async def commit(self) -> None:
        await self._end("RELEASE SAVEPOINT")

    async def rollback(self) -> None:
        await self._end("ROLLBACK TO SAVEPOINT")

    async def _end(self, command: str) -> None:
        if not self._is_open:
            raise StatementRefused("The savepoint has ended, or was never begun")
        self._is_open = False
        try:
            await self._unit.run(f"{command} {self._name}", ())
        except BaseException as error:
            self._unit.fail(error)
            raise
        finally:
            self._unit.savepoints.ended(self)

    def __await__(self) -> Generator[Any, None, "Savepoint"]:
        return self.start().__await__()

    async def __aenter__(self) -> "Savepoint":
        return await self.start()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            with suppress(Exception):  # the first error is the one that is seen; the unit keeps the other in mind
                await self.rollback()
        elif self._is_open:  # not ended inside
            await (self.rollback() if self._force_rollback else self.commit())
