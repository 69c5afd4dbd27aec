"""A private database server for `python -m dev` and for the tests, which needs no installation and no configuration.

It listens on a free port of 127.0.0.1 only, and whoever may connect there is its administrator, without a password. It
runs in a process of its own (`dev.launcher`), which stops it when this process ends, however this process ends.
"""

import fcntl
import json
import subprocess
import sys
from pathlib import Path

from dev import binaries

PROJECT = Path(__file__).resolve().parents[1]


class ServerError(Exception):
    """Why the server did not start, in one sentence."""


class ServerNotFound(ServerError):
    """There is no server to start: the sentence says what to install."""


class Server:
    """A running server. It stops with `stop()`, at the end of a `with` block, or with this process."""

    url: str
    """The administrator's URL."""

    def __init__(self, launcher: subprocess.Popen[str]) -> None:
        self._launcher = launcher

    def stop(self) -> None:
        """Stop the server and wait until it is gone; what `start` made for this run is removed."""
        if self._launcher.stdin:
            self._launcher.stdin.close()
        self._launcher.wait()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def running(data: Path) -> str | None:
    """The administrator's URL of the server that runs on the data of this folder, if one does."""
    try:
        with (data / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # its launcher has it, until it ends: what is written there is never out of date
        port = data / "port"
        return binaries.URL.format(port=port.read_text()) if port.exists() else None
    except FileNotFoundError:
        pass
    return None


def start(data: Path | None = None) -> Server:
    """Start a server, and wait until it can be used.

    `data` is the folder that keeps the data for the next start; without it they live in a temporary folder, which goes
    with the server. Raises ServerNotFound, or ServerError, which ends with what the server had to say.
    """
    try:
        binary = binaries.find()
    except FileNotFoundError as error:
        raise ServerNotFound(str(error)) from None
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from dev import launcher; launcher.main()"
    launcher = subprocess.Popen(
        [sys.executable, "-I", "-c", code, PROJECT, binary, *([data.resolve()] if data else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches us, not the launcher: it stops the server when we are done
    )
    server = Server(launcher)
    try:
        assert launcher.stdout
        with launcher.stdout as answers:
            answer = json.loads(answers.readline() or '{"error": "its launcher died"}')
        if "error" in answer:
            raise ServerError(f"The private server does not start: {answer['error']}")
    except BaseException:
        server.stop()
        raise
    server.url = answer["url"]
    return server
