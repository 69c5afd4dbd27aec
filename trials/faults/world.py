"""One combination at work: its service, its server, and what a fault needs to know of them.

Limits are short, so that what waits for them does not take long; they are in the same proportions as the defaults.
"""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import httpx
from books import Balance, Books, balance
from services import CommandFailed, Service, free_port, tail

from faults.proxy import Proxy
from faults.server import Console, Server

T = TypeVar("T")

LIMITS = {
    "DATABASE_POOL_TIMEOUT": "2",
    "DATABASE_CONNECT_TIMEOUT": "1",
    "DATABASE_STATEMENT_TIMEOUT": "2",
    "DATABASE_TRANSACTION_TIMEOUT": "4",
    "LOG_LEVEL": "WARNING",
}
PATIENT: Mapping[str, str] = MappingProxyType(  # the defaults, where each request has to be served
    {
        "DATABASE_POOL_TIMEOUT": "5",
        "DATABASE_CONNECT_TIMEOUT": "5",
        "DATABASE_STATEMENT_TIMEOUT": "10",
        "DATABASE_TRANSACTION_TIMEOUT": "20",
    }
)
NOTHING: Mapping[str, str] = MappingProxyType({})
PATIENCE = 15.0  # seconds: more than these limits together


class NotHere(Exception):
    """Why a fault cannot be made on this machine, in one sentence."""


class Missed(Exception):
    """What a fault showed that no count of the books says, in one sentence."""


@dataclass(frozen=True)
class Serving:
    """A service at work: where, and its first process. What it logs is the world's `log` when it has ended."""

    url: str
    process: subprocess.Popen[str]


class World:
    """`struck` is how often the fault at hand happened, `seconds` how long a load lasts that nothing else
    ends, `log` the end of what the last service logged.
    """

    def __init__(self, name: str, service: Service, server: Server, console: Console, *, short: bool) -> None:
        self.name, self.service, self.server, self.console, self.short = name, service, server, console, short
        self.seconds = 0.7 if short else 2.0
        self.struck = 0
        self.log = ""

    @property
    def is_mysql(self) -> bool:
        return self.server.is_mysql

    @asynccontextmanager
    async def serving(
        self,
        url: str = "",
        variables: Mapping[str, str] = NOTHING,
        *,
        prefix: Sequence[str] = (),
        path: Path | None = None,
    ) -> AsyncIterator[Serving]:
        """The service, as `python -m app` runs it, on the server's own URL or another; `path` is another copy of it."""
        with ExitStack() as stack:
            started = self.served(url, variables, prefix=prefix, path=path)
            try:
                yield await in_thread(lambda: stack.enter_context(started))
            finally:
                await in_thread(stack.close)

    @contextmanager
    def served(
        self,
        url: str = "",
        variables: Mapping[str, str] = NOTHING,
        *,
        prefix: Sequence[str] = (),
        path: Path | None = None,
    ) -> Iterator[Serving]:
        """As `serving`, where no loop runs."""
        port = free_port()
        command = [*prefix, self.service.executable("python"), "-m", "app", "--port", str(port), "--no-access-log"]
        environment = {**self.service.environment, **LIMITS, **variables, "DATABASE_URL": url or self.server.url}
        service = Service(path or self.service.path, self.service.python, environment)
        with tempfile.TemporaryFile("w+") as log, service.background(*command, log=log) as process:

            def printed() -> str:
                log.seek(0)
                return tail(log.read())

            address = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 60
            while not _is_live(address):
                if process.poll() is not None or time.monotonic() > until:
                    raise CommandFailed(f"{printed()}\n\n{' '.join(command)}: does not answer")
                time.sleep(0.02)
            try:
                yield Serving(address, process)
            finally:
                self.log = printed()

    @asynccontextmanager
    async def by_proxy(self, variables: Mapping[str, str] = NOTHING) -> AsyncIterator[tuple[Proxy, Serving, Books]]:
        """The service by way of a proxy, with books for it."""
        proxy = Proxy(self.server.url)
        async with proxy.listen() as url, self.serving(url, variables) as serving:
            yield proxy, serving, self.books(serving)
            proxy.hurt = None

    async def strike(self, times: Callable[[], int], seconds: float | None = None) -> None:
        """The load goes on for `seconds`, and on a busy machine until the fault has happened, for half a minute more
        at most. `times` says how often it has, which is `struck` from then on.
        """
        await asyncio.sleep(self.seconds if seconds is None else seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                while not times():
                    await asyncio.sleep(0.05)
        self.struck = times()

    def books(self, *serving: Serving) -> Books:
        return Books(*(each.url for each in serving), patience=PATIENCE)

    async def balance(self, books: Books) -> Balance:
        return await balance(books, self.service, self.server.url)

    def own_user(self) -> str:
        """The URL of a user who may do all with this database, and is no administrator."""
        database = httpx.URL(self.server.url).path.strip("/")
        if self.is_mysql:
            statements = ["CREATE USER IF NOT EXISTS app IDENTIFIED BY 'secret'", f"GRANT ALL ON `{database}`.* TO app"]
        else:
            there = self.console.value("SELECT count(*) FROM pg_roles WHERE rolname = 'app'")
            statements = [] if there else ["CREATE ROLE app LOGIN PASSWORD 'secret'"]
            statements += ["GRANT ALL ON ALL TABLES IN SCHEMA public TO app"]
            statements += ["GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app"]
        for statement in statements:
            self.console.run(statement)
        return str(httpx.URL(self.server.url).copy_with(username="app", password="secret"))


async def in_thread(work: Callable[[], T]) -> T:
    """Run to its end what would block the loop, also when this task is cancelled: nothing is left half started."""
    working = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


def _is_live(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/live", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
