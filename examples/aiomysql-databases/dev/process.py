"""One process of the private server, which is watched while it starts and never outlives the launcher."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dev import binaries

START_LIMIT = 120.0  # seconds, both
STOP_LIMIT = 20.0


class OwnerEnded(Exception):
    """Nobody needs the server any more."""


class StartFailed(Exception):
    """Why, in one sentence."""


@contextmanager
def running(
    command: list[str], home: Path, log: Path, how_to_stop: signal.Signals, script: bytes = b""
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads `script`. Afterwards its whole group is gone: MYSQLD may be a script that ends first."""
    with tempfile.TemporaryFile() as standard_input, log.open("wb") as output:
        standard_input.write(script)
        standard_input.seek(0)
        process = subprocess.Popen(
            command,
            cwd=home,
            env=os.environ | {"LC_ALL": "C"},  # what the log says is English
            stdin=standard_input,
            stdout=output,
            stderr=output,
            process_group=0,
            **binaries.ACCOUNT,
        )
    try:
        yield process
    finally:
        until = time.monotonic() + STOP_LIMIT
        process.poll()  # what has ended and was not waited for still counts as a member
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how_to_stop)
            while True:
                time.sleep(0.005)
                process.poll()
                os.killpg(process.pid, signal.SIGKILL if time.monotonic() > until else 0)


def wait(
    process: subprocess.Popen[bytes],
    ready: Callable[[], bool] = lambda: False,
    limit: float = START_LIMIT,
    pause: float = 0.01,
) -> bool:
    """Wait until the process is ready (True) or ends (False). Raises OwnerEnded at once, StartFailed."""
    until = time.monotonic() + limit
    while process.poll() is None:
        if ready():
            return True
        if time.monotonic() > until:
            raise StartFailed(f"it takes longer than {limit:.0f} s.")
        if select.select([sys.stdin], [], [], pause)[0]:
            raise OwnerEnded
    return False


def last_words(log: Path) -> str:
    """The last errors in the log, else its last lines."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if any(word in line for word in ("ERROR", "FATAL", "error:"))]
    return " | ".join((telling or lines or ["the log is empty"])[-3:])
