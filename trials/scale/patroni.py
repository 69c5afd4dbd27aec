"""PostgreSQL under Patroni, by way of HAProxy and by a URL with several hosts: the leader is killed, and switched.

Four services at a time, each with a database and books of its own: both styles, both ways. Recovery is measured from
the moment when a connection of the trial's own to the new leader could write. With synchronous replication nothing that
was acknowledged may be missing; what asynchronous replication loses is told.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile

from books import Balance, Books, balance
from harness import ACCESS_STYLES
from services import Service

from scale.patroni_cluster import Cluster, Member, cluster
from scale.rows import Env, Row

RECOVERY = 1.0  # seconds from the new leader's first write to the service's
WATCH = """
import asyncio, sys
import asyncpg

async def writes(url):
    connection = await asyncpg.connect(url, ssl=False, timeout=2)
    try:
        await connection.execute("INSERT INTO promoted DEFAULT VALUES", timeout=5)
    finally:
        connection.terminate()

async def main(*urls):
    while True:
        for url in urls:
            try:
                return await writes(url)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.01)

asyncio.run(main(*sys.argv[1:]))
print("written", flush=True)
"""


@dataclass
class Served:
    """One of the services, and how it gets to the leader."""

    service: Service
    access: str
    way: str
    database: str
    base_url: str


def run(env: Env) -> list[Row]:
    rows: list[Row] = []
    services = {access: env.service("asyncpg", access) for access in ACCESS_STYLES}
    with env.new_folder() as folder, cluster(services["orm"], folder) as members, ExitStack() as stack:
        services["orm"].administer(members.leader().url, "CREATE TABLE promoted (at timestamptz DEFAULT now())")
        served = [
            stack.enter_context(serving(members, service, access, way))
            for access, service in services.items()
            for way in ("HAProxy", "several hosts")
        ]
        rows += killed(members, served, "synchronous")
        rows += trial(members, served, "switchover, synchronous", members.switch_over)
        members.whole(synchronous=True)
        members.synchronous(False)
        members.whole(synchronous=False)
        rows += killed(members, served, "asynchronous")
    return rows


@contextmanager
def serving(members: Cluster, service: Service, access: str, way: str) -> Iterator[Served]:
    """On a database of its own, which is migrated."""
    database = f"orders_{access}_{way.lower().replace(' ', '_')}"
    url = members.by_proxy(database) if way == "HAProxy" else members.by_several_hosts(database)
    service.migrate(url)
    with service.serving(url, DATABASE_POOL_SIZE="4", DATABASE_MAX_OVERFLOW="4") as client:
        yield Served(service, access, way, database, str(client.base_url).rstrip("/"))


def killed(members: Cluster, served: list[Served], mode: str) -> list[Row]:
    """The leader is killed, replaced, started again, and follows."""
    leader = members.leader()
    rows = trial(members, served, f"leader killed (-9), {mode}", leader.kill, may_lose=mode == "asynchronous")
    began = time.monotonic()
    members.start(leader)
    members.whole(synchronous=mode == "synchronous")
    said = f"it follows the new leader after {time.monotonic() - began:.1f} s"
    return [*rows, Row(members.versions, f"the killed one joins again, {mode}", "", said=said)]


def trial(
    members: Cluster, served: list[Served], name: str, event: Callable[[], None], *, may_lose: bool = False
) -> list[Row]:
    found, took = asyncio.run(_during(members, served, event))
    rows = []
    for one, books in zip(served, found, strict=True):
        said = f"another leader after {took:.1f} s" + (f", {books.lost} lost" if may_lose else "")
        row = Row.of(
            books,
            members.versions,
            f"{name}, by {one.way}",
            f"asyncpg-{one.access}",
            said=said,
            may_lose=may_lose,
        )
        if not row.failed and (books.recovery is None or books.recovery > RECOVERY):
            row.failed = f"writes resumed {books.recovery} s after the new leader's first"
        rows.append(row)
    return rows


async def _during(members: Cluster, served: list[Served], event: Callable[[], None]) -> tuple[list[Balance], float]:
    all_books = [Books(one.base_url, seed=number) for number, one in enumerate(served)]
    before = members.leader()
    async with AsyncExitStack() as stack:
        for books in all_books:
            await stack.enter_async_context(books.load(writers=3, readers=1, pause=0.01))
        await asyncio.sleep(3)
        began = time.monotonic()
        happening = asyncio.create_task(asyncio.to_thread(event))
        await asyncio.to_thread(_another_writes, members, before, served[0].service)
        for books in all_books:
            books.mark()
        took = time.monotonic() - began
        await asyncio.gather(happening, *(books.recovered(30) for books in all_books))
        await asyncio.sleep(2)
    leader = await asyncio.to_thread(members.leader)
    urls = [leader.url.rpartition("/")[0] + f"/{one.database}" for one in served]
    balances = [balance(books, one.service, url) for books, one, url in zip(all_books, served, urls, strict=True)]
    return list(await asyncio.gather(*balances)), took


def _another_writes(members: Cluster, before: Member, service: Service) -> None:
    """Returns as soon as a member that was not the leader has written."""
    urls = [member.url for member in members.members if member is not before]
    with (
        TemporaryFile("w+") as log,
        service.background(service.executable("python"), "-c", WATCH, *urls, log=log, ends_with_input=True) as process,
    ):
        assert process.stdout
        if process.stdout.readline().strip() != "written":
            log.seek(0)
            raise AssertionError(log.read())
