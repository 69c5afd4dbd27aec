"""Networks that swallow, that are slow, and names that lead nowhere or elsewhere.

Names are those of a hosts file that only the service sees, in a mount namespace of its own.
"""

import asyncio
import os
import subprocess
import tempfile
from contextlib import AsyncExitStack, ExitStack
from functools import cache
from pathlib import Path

import httpx
from books import Balance

from faults.proxy import Proxy
from faults.world import NotHere, World

IMPATIENT = {
    "DATABASE_POOL_TIMEOUT": "1",
    "DATABASE_STATEMENT_TIMEOUT": "1",
    "DATABASE_TRANSACTION_TIMEOUT": "1.5",
}
SILENCE = 3.0  # seconds: longer than these together
NAME = "database.test"  # https://www.rfc-editor.org/rfc/rfc6761#section-6.2
NAMESPACE = """
mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"
"""


@cache
def namespace() -> list[str]:
    """The command that runs another one in a mount namespace of its own, also for who is not root."""
    command = ["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), "--mount"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise NotHere("mount namespaces cannot be made here (unshare --mount)") from None
    return command


async def swallows_requests(world: World) -> Balance:
    """What the service sends does not arrive."""
    return await _black_hole(world, "to_server")


async def swallows_answers(world: World) -> Balance:
    """What the server answers does not arrive."""
    return await _black_hole(world, "to_client")


async def _black_hole(world: World, direction: str) -> Balance:
    async with world.by_proxy(IMPATIENT) as (proxy, _, books):
        async with books.load():
            await asyncio.sleep(world.seconds / 2)
            with proxy.silent(getattr(proxy, direction)):
                await asyncio.sleep(SILENCE)
            world.struck = proxy.struck
            books.mark()
            await books.recovered()
            await asyncio.sleep(world.seconds / 4)
        return await world.balance(books)


async def server_freezes(world: World) -> Balance:
    """SIGSTOP to all of the server: connections are accepted by the system, and nobody speaks."""
    async with world.serving(variables=IMPATIENT) as serving:
        books = world.books(serving)
        async with books.load():
            await asyncio.sleep(world.seconds / 2)
            with world.server.paused():
                world.struck += 1
                await asyncio.sleep(SILENCE)
            books.mark()
            await books.recovered()
            await asyncio.sleep(world.seconds / 4)
        return await world.balance(books)


async def slow(world: World) -> Balance:
    """200 ms for a round trip, and 5 % of what is sent arrives after a retransmission only."""
    patient = {"DATABASE_CONNECT_TIMEOUT": "5", "DATABASE_POOL_TIMEOUT": "5"}
    async with world.by_proxy(patient) as (proxy, _, books):
        proxy.delay, proxy.loss = 0.1, 0.05
        async with books.load(writers=16, readers=4):
            await world.strike(lambda: proxy.struck, seconds=world.seconds * 2)
        return await world.balance(books)


async def name_fails(world: World) -> Balance:
    """The connections end, and for a while the name of the server is not known."""
    proxy = Proxy(world.server.url)
    with Names() as names:
        names.lead_to("127.0.0.1")
        async with proxy.listen() as url, world.serving(by_name(url), prefix=names.prefix) as serving:
            books = world.books(serving)
            async with books.load():
                await asyncio.sleep(world.seconds / 2)
                names.lead_to(None)
                proxy.cut()
                await world.strike(lambda: books.statuses[503], seconds=world.seconds / 2)
                names.lead_to("127.0.0.1")
                books.mark()
                await books.recovered()
                await asyncio.sleep(world.seconds / 4)
            return await world.balance(books)


async def name_moves(world: World) -> Balance:
    """A failover by DNS: the old address refuses, and the name leads to another one."""
    old, new = Proxy(world.server.url), Proxy(world.server.url)
    with Names() as names:
        names.lead_to("127.0.0.2")
        async with new.listen("127.0.0.3") as there:
            port = httpx.URL(there).port
            assert port
            async with AsyncExitStack() as leaving:
                url = await leaving.enter_async_context(old.listen("127.0.0.2", port))
                async with world.serving(by_name(url), prefix=names.prefix) as serving:
                    books = world.books(serving)
                    async with books.load():
                        await asyncio.sleep(world.seconds / 2)
                        await leaving.aclose()
                        await asyncio.sleep(0.3)
                        names.lead_to("127.0.0.3")
                        books.mark()
                        await books.recovered()
                        await asyncio.sleep(world.seconds / 4)
                        world.struck = len(new.connections)
                    return await world.balance(books)


def by_name(url: str) -> str:
    return str(httpx.URL(url).copy_with(host=NAME))


class Names:
    """What a process that is started with `prefix` finds in its hosts file; there is no name server."""

    def __enter__(self) -> "Names":
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o711)
        self._hosts, resolver = folder / "hosts", folder / "resolv.conf"
        resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        self.prefix = [*namespace(), "sh", "-c", NAMESPACE, str(self._hosts), str(resolver)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def lead_to(self, address: str | None) -> None:
        """In place: what is mounted is this file, not its name."""
        self._hosts.write_text(f"127.0.0.1 localhost\n{f'{address} {NAME}' if address else ''}\n")
