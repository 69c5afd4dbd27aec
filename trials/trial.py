"""One combination through the faults: installed once, on one server; what was found is a Result for each."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from books import Balance
from faults import FAULTS, PROCESS_PER_SESSION
from faults.server import Server
from faults.world import Missed, NotHere, World, in_thread
from harness import NAME, combination_id, copy_template, render
from services import CommandFailed, Service, python_called

RECOVERY = 1.0
"""Seconds from "the server is back" to the first acknowledged write."""
LIMIT = 180.0
"""Seconds after which a fault is given up."""
DURABLE = "SET GLOBAL innodb_flush_log_at_trx_commit = 1"
"""The private server of `dev` keeps what was committed in its own memory for up to a second."""


@dataclass(frozen=True)
class Result:
    """A row of the table. `missed` is why it misses its goal, `skipped` why there is none, each in a sentence."""

    fault: str
    combination: str
    server: str
    seconds: float
    struck: int = 0
    balance: Balance | None = None
    missed: str | None = None
    skipped: str | None = None


def judged(balance: Balance, struck: int, *, timed: bool = True) -> str | None:
    """Why a goal is missed, in a sentence. Not `timed`: on a machine that does other things, too."""
    if not struck:
        return "the fault did not happen"
    if not balance.acknowledged:
        return "nothing was acknowledged"
    if balance.faults:
        counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in balance.faults.items())
        return "; ".join([counts, *balance.examples[:3]])
    if timed and balance.recovery is not None and balance.recovery > RECOVERY:
        return f"the first write was acknowledged {balance.recovery:.1f} s after the server was back"
    return None


@contextmanager
def world(combination: dict[str, str], mysqld: str = "", *, short: bool = False) -> Iterator[World]:
    """A combination, rendered and installed, and its migrated database on a server of its own; `mysqld` is MYSQLD."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        Path(folder).chmod(0o711)  # the server may run as somebody else
        template = copy_template(Path(folder, "template"))
        service = Service(
            render(template, Path(folder, NAME), combination), python_called("newest"), {"MYSQLD": mysqld}
        )
        service.run("uv", "sync", "--quiet")
        server = Server(service, Path(folder, "data"), is_mysql=combination["driver"] == "aiomysql")
        stack.callback(server.stop)
        server.start()
        service.migrate(server.url)
        console = stack.enter_context(server.console())
        yield World(combination_id(combination), service, server, console, short=short)


async def results(world: World, names: Sequence[str]) -> AsyncIterator[Result]:
    """What each of the faults shows, in turn; one that fails leaves a server that works to the next."""
    kind = server_version(world)
    for name in names:
        started = time.monotonic()
        balance = missed = skipped = None
        if world.is_mysql and name in PROCESS_PER_SESSION:
            continue
        try:
            await in_thread(lambda: _prepare(world))
            async with asyncio.timeout(LIMIT):
                balance = await FAULTS[name](world)
            missed = judged(balance, world.struck, timed=not world.short)
        except NotHere as reason:
            skipped = str(reason)
        except TimeoutError:
            missed = f"not through after {LIMIT:.0f} s"
        except (AssertionError, CommandFailed, ExceptionGroup, Missed) as error:
            missed = f"{error!r}" if isinstance(error, ExceptionGroup) else str(error)
        except subprocess.TimeoutExpired:
            missed = "the service did not end after SIGTERM"
        if missed:
            print(f"{name}, {world.name}: the service logged\n\n{world.log}\n", file=sys.stderr)
        if balance is None:
            await in_thread(world.server.restart)
        yield Result(
            name, world.name, kind, round(time.monotonic() - started, 1), world.struck, balance, missed, skipped
        )


def server_version(world: World) -> str:
    """Such as "PostgreSQL 18.6" or "MariaDB 10.11.19"."""
    printed = str(world.console.value("SELECT VERSION()"))
    if not world.is_mysql:
        return " ".join(printed.split()[:2])
    version, _, kind = printed.partition("-")
    return f"{'MariaDB' if 'MariaDB' in kind else 'MySQL'} {version}"


def _prepare(world: World) -> None:
    world.struck = 0
    for statement in (*((DURABLE,) if world.is_mysql else ()), "DELETE FROM notes", "DELETE FROM developers"):
        world.console.run(statement)
