"""A command in a terminal of 80 columns: what it shows there is read as a person sees it, and keys are typed.

The terminal is pyte's, which answers what prompt_toolkit asks of one, at the other end of a pseudo-terminal.
"""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte

COLUMNS, LINES = 80, 40
_PATIENCE = 60  # seconds, for what should be there at once


class _Screen(pyte.HistoryScreen):
    def __init__(self, answer: Callable[[str], None]) -> None:
        super().__init__(COLUMNS, LINES, history=1000, ratio=1)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data)  # where the cursor is, for one


class Terminal:
    """What a program shows, and the keys that it is given."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._screen = _Screen(self.type)
        self._stream = pyte.ByteStream(self._screen)

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def lines(self) -> list[str]:
        """The rows of the screen as they are now, without the blanks at their ends."""
        return [line.rstrip() for line in self._screen.display]

    def all_lines(self) -> list[str]:
        """Those too that have left the screen at its top."""
        above = ["".join(row[x].data for x in range(COLUMNS)).rstrip() for row in self._screen.history.top]
        return [*above, *self.lines()]

    def until(self, *texts: str) -> list[str]:
        """The rows of the screen, as soon as each of the texts is in one of them."""
        end = time.monotonic() + _PATIENCE
        while missing := [text for text in texts if not any(text in line for line in self.lines())]:
            if not self._read(end - time.monotonic()):
                raise AssertionError("\n".join([f"Not shown: {missing}", *filter(None, self.lines())]))
        return self.lines()

    def end(self) -> list[str]:
        """All rows, when the program has ended."""
        end = time.monotonic() + _PATIENCE
        while self._read(end - time.monotonic()):
            pass
        return self.all_lines()

    def _read(self, seconds: float) -> bool:
        """Shows what comes next; whether something came."""
        ready, _, _ = select.select([self._descriptor], [], [], max(seconds, 0))
        try:
            read = os.read(self._descriptor, 65536) if ready else b""
        except OSError:  # how Linux says that the other end is closed
            read = b""
        self._stream.feed(read)
        return bool(read)


@contextmanager
def in_terminal(command: list[str], folder: Path) -> Iterator[Terminal]:
    """Runs the command in a terminal of its own; it is ended on the way out."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(COLUMNS), "LINES": str(LINES), "PYTHONUTF8": "1"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Terminal(ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
