"""A password that changes while the service runs: read anew for each new connection, outside of the event loop.

Its source and the server never change at the same moment. Who is refused tries the password that was right last time,
looks for a newer one for a second, and tries once more: so a rotation is met in either order.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias, TypeVar

from app.database.errors import AccessDenied, Unavailable
from app.database.translation import translate

T = TypeVar("T")

Account: TypeAlias = tuple[str, int, str | None]
Ask: TypeAlias = Callable[[str, int, str | None], str | Awaitable[str | None] | None]

ATTEMPTS = 3  # a server may lock who fails often
LOOKS, PAUSE = 10, 0.1  # seconds


def in_file(file: Path) -> Callable[..., str]:
    """Reads the file, without the line end that an editor or `echo` leaves. Raises OSError, UnicodeDecodeError."""
    return lambda *account: file.read_text("utf-8").rstrip("\r\n")


class PasswordSource:
    """`ask(host, port, user)` returns a password, or None where none is needed; it may be asynchronous, or block."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._right: dict[Account, tuple[str, float]] = {}  # and when it was

    async def connect(self, account: Account, open_with: Callable[[str], Awaitable[T]]) -> T:
        """What `open_with(password)` returns. Raises what it raised last; Unavailable when there is no password."""
        password = await self._password(account)
        tried: list[str] = []
        looks = LOOKS
        while True:
            tried.append(password)
            began = monotonic()
            try:
                connection = await open_with(password)
            except Exception as error:
                if len(tried) == ATTEMPTS or not isinstance(translate(error, writing=True), AccessDenied):
                    raise
                while True:
                    right, _ = self._right.get(account, (password, began))
                    if right not in tried:
                        password = right
                        break
                    if looks == 0:
                        raise
                    looks -= 1
                    await asyncio.sleep(PAUSE)
                    password = await self._password(account)
                    if password != tried[-1] or looks == 0:  # a newer one; or the server may know it by now
                        break
                    right, when = self._right.get(account, (password, began))
                    if right == password and when > began:  # it does: others got in
                        break
            else:
                self._right[account] = password, monotonic()
                return connection

    async def _password(self, account: Account) -> str:
        try:
            answer: Any = await asyncio.to_thread(self._ask, *account)
            if inspect.isawaitable(answer):
                answer = await answer
            if not isinstance(answer, str | None):
                raise TypeError(f"a password is text, not {type(answer).__name__}")
        except (Exception, asyncio.CancelledError) as error:  # whatever the libraries of a team's function raise
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise  # else it waited for what somebody else has cancelled
            raise Unavailable("The password of the database cannot be read from where it is kept") from error
        return answer or ""
