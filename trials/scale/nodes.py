"""The nodes of a cluster of MySQL or MariaDB, and what says of each whether a balancer shall use it.

HAProxy asks an HTTP endpoint about each of them, as behind the usual `clustercheck`; that asks the node by a query,
over a connection of its own.
"""

import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from books import STATE
from services import CommandFailed, Service, free_port, tail

from scale.servers import Program, haproxy

CHECKS = """
import asyncio, sys
from app.database import driver
from app.settings import DatabaseSettings

class Check:
    def __init__(self, port, query):
        url = f"mysql://root:@127.0.0.1:{port}/mysql"
        self.settings = DatabaseSettings(_env_file=None, url=url, connect_timeout=1)
        self.query, self.connection, self.alone = query, None, asyncio.Lock()

    async def good(self):
        try:
            async with self.alone, asyncio.timeout(1):
                self.connection = self.connection or await driver.connect(self.settings.target, self.settings)
                return bool(await driver.scalar(self.connection, self.query))
        except Exception:
            if self.connection:
                driver.terminate(self.connection)
            self.connection = None
            return False

    async def answer(self, reader, writer):
        try:
            await reader.readuntil(b"\\r\\n\\r\\n")
            status = b"200 OK" if await self.good() else b"503 Service Unavailable"
            writer.write(b"HTTP/1.1 " + status + b"\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

async def main(query, *places):
    for port, node in zip(places[::2], places[1::2]):
        await asyncio.start_server(Check(node, query).answer, "127.0.0.1", int(port))
    print("listening", flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass
class Node:
    """A server on data of its own: `command` starts it in the foreground."""

    name: str
    command: list[str]
    folder: Path
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    check: int = field(default_factory=free_port)
    """The port of the HTTP endpoint that says whether to use it."""
    program: Program | None = None

    @property
    def url(self) -> str:
        return f"mysql://root:@127.0.0.1:{self.port}/mysql"

    def start(self, *options: str) -> Program:
        self.program = Program([*self.command, *options], self.folder, environment=self.environment)
        return self.program

    def stop(self) -> None:
        """As an operator does."""
        if self.program:
            self.program.stop()
            self.program = None

    def kill(self) -> None:
        """With what it has started itself."""
        if self.program:
            self.program.kill()
            self.program = None

    def is_used(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.check}/", timeout=3, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def wait_until_used(self, limit: float = 90) -> None:
        """Raises CommandFailed with the end of its log."""
        assert self.program
        self.program.wait(self.is_used, limit)


@contextmanager
def checks(service: Service, nodes: Sequence[Node], query: str) -> Iterator[None]:
    """A node is used as long as `query` says a true value."""
    places = [word for node in nodes for word in (str(node.check), str(node.port))]
    command = [service.executable("python"), "-c", CHECKS, query, *places]
    with (
        tempfile.TemporaryFile("w+") as log,
        service.background(*command, log=log, ends_with_input=True) as process,
    ):
        assert process.stdout
        if not process.stdout.readline():
            log.seek(0)
            raise CommandFailed(f"{tail(log.read())}\n\nthe checks of the nodes did not start")
        yield


@contextmanager
def balanced(folder: Path, nodes: Sequence[Node]) -> Iterator[str]:
    """The administrator's URL by way of HAProxy, to the nodes that shall be used, in turn."""
    options = "check port {} inter 200ms fall 1 rise 1 on-marked-down shutdown-sessions"
    asked = {node.port: options.format(node.check) for node in nodes}
    with haproxy(folder, asked, "    balance roundrobin\n    option httpchk GET /") as proxy:
        yield f"mysql://root:@127.0.0.1:{proxy.port}/mysql"


def ask(service: Service, url: str, query: str) -> list[list[Any]]:
    """The rows of the query, over a connection of its own to the server of `url`."""
    found = service.run(service.executable("python"), "-c", STATE, url, query, timeout=60)
    rows: list[list[Any]] = json.loads(found)[0]
    return rows


def until(condition: Callable[[], bool], what: str, limit: float = 60) -> None:
    """Raises CommandFailed when it does not come true."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise CommandFailed(f"waited {limit:g} s in vain: {what}")
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
