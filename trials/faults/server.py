"""The private server of a combination, which can be killed, stopped in its tracks and started again on its data.

It is the service's own `dev` package that starts it, always at the same port. What it acknowledges has left its process
before: a killed process loses nothing, whatever the settings for development save.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from services import CommandFailed, Service, database_url

CONSOLE = """
import asyncio, json, sys
from app.database import driver
from app.settings import DatabaseSettings

async def main(url, keeps):
    settings = DatabaseSettings(_env_file=None, url=url, statement_timeout=60, transaction_timeout=600)
    connection = None
    for line in sys.stdin:
        try:
            connection = connection or await driver.connect(settings.target, settings, read_only=False)
            ran = await driver.run(connection, json.loads(line), ())
            answer = {"rows": [list(row) for row in ran.rows or ()]}
        except Exception as error:
            answer = {"error": f"{error!r}"}
        if connection is not None and not (keeps and "rows" in answer):
            driver.terminate(connection)
            connection = None
        print(json.dumps(answer, default=str), flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2] == "keeps"))
"""


class Server:
    """`data` is the folder of its data, `url` the administrator's of the service's database."""

    def __init__(self, service: Service, data: Path, *, is_mysql: bool) -> None:
        self.service, self.data, self.is_mysql = service, data, is_mysql
        self.url = ""
        self._running = ExitStack()

    def start(self) -> None:
        """Start on the data that are there, always at the same port, and wait until it can be used."""
        self.url = database_url(self._running.enter_context(self.service.dev_server(self.data)))

    def stop(self) -> None:
        self._running.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL to all of its processes, as a machine that loses its power: what is in the page cache stays."""
        self._signal(signal.SIGKILL)
        self.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP: its sockets are open, and nobody is there."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    @contextmanager
    def console(self, *, keeps: bool = False) -> Iterator["Console"]:
        """Statements on a connection each, or all on one that it `keeps`."""
        with tempfile.TemporaryFile("w+") as log:
            command = [self.service.executable("python"), "-c", CONSOLE, self.url, "keeps" if keeps else "opens"]
            with self.service.background(*command, log=log, ends_with_input=True) as process:
                yield Console(process)

    @property
    def process(self) -> int:
        file = next(self.data.glob("data/pid" if self.is_mysql else "data/postmaster.pid"))
        return int(file.read_text().split()[0])

    def _signal(self, number: signal.Signals) -> None:
        processes = [self.process, *children(self.process)]
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        while number == signal.SIGKILL and any(map(_lives, processes)):
            time.sleep(0.005)


class Console:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, statement: str) -> list[list[Any]]:
        """The rows. Raises CommandFailed with what the server said."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(statement), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline() or '{"error": "the console ended"}')
        if "error" in answer:
            raise CommandFailed(f"{statement}: {answer['error']}")
        rows: list[list[Any]] = answer["rows"]
        return rows

    def value(self, statement: str) -> Any:
        return self.run(statement)[0][0]


def children(process: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def _lives(process: int) -> bool:
    """A zombie does not."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False
