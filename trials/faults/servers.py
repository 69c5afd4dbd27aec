"""Servers that die, restart, refuse, fill up."""

import asyncio
import os
import signal
from contextlib import suppress
from functools import partial

from books import Balance, Books
from services import CommandFailed

from faults.server import children
from faults.world import Missed, World, in_thread


async def killed(world: World) -> Balance:
    """SIGKILL to the whole server under load; started again on what it has left."""
    async with world.serving() as serving:
        books = world.books(serving)
        async with books.load():
            await asyncio.sleep(world.seconds / 2)
            await in_thread(world.server.kill)
            world.struck += 1
            await asyncio.sleep(0.3)
            await in_thread(world.server.start)
            await _back(world, books)
        return await world.balance(books)


async def stopped(world: World) -> Balance:
    """An orderly restart under load, as for an update."""
    async with world.serving() as serving:
        books = world.books(serving)
        async with books.load():
            await asyncio.sleep(world.seconds / 2)
            await in_thread(world.server.stop)
            world.struck += 1
            await in_thread(world.server.start)
            await _back(world, books)
        return await world.balance(books)


async def restarts_while_idle(world: World) -> Balance:
    """Nobody asks while the server restarts: nobody notices afterwards."""
    async with world.serving() as serving:
        books = world.books(serving)
        async with books.load():
            await asyncio.sleep(0.3)
        await in_thread(world.server.stop)
        await in_thread(world.server.start)
        world.struck += 1
        before = books.counts["acknowledged"], books.counts["refused"] + books.counts["unknown"]
        async with books.load(writers=16):
            await _back(world, books)
        if refused := books.counts["refused"] + books.counts["unknown"] - before[1]:
            raise Missed(f"{refused} requests after the restart were told of it")
        return await world.balance(books)


async def sessions_killed(world: World) -> Balance:
    """One session after the other is ended by an administrator."""
    if world.is_mysql:
        one = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        one += " ORDER BY RAND() LIMIT 1"
    else:
        one = """SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname =
            current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) AS one"""
    async with world.serving() as serving:
        books = world.books(serving)
        async with books.load():
            for _ in range(int(world.seconds * 40)):
                with suppress(CommandFailed):  # it has ended by itself
                    found = await in_thread(lambda: world.console.run(one))
                    if world.is_mysql and found:
                        await in_thread(partial(world.console.run, f"KILL {found[0][0]}"))
                    world.struck += bool(found)
                await asyncio.sleep(0.01)
            await _back(world, books)
        return await world.balance(books)


async def process_killed(world: World) -> Balance:
    """SIGKILL to the process of one session: PostgreSQL then ends all others, and recovers."""
    async with world.serving() as serving:
        books = world.books(serving)
        async with books.load():
            for _ in range(1 if world.short else 3):
                await asyncio.sleep(0.5)
                pid = world.console.value(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                if pid in children(world.server.process):
                    os.kill(pid, signal.SIGKILL)
                    world.struck += 1
                await books_refuse(books)
            await _back(world, books)
        return await world.balance(books)


async def out_of_connections(world: World) -> Balance:
    """The server has fewer connections than the pool wants; then it has enough."""
    few, many = ("SET GLOBAL max_connections = 10", "SET GLOBAL max_connections = 200")
    url = world.own_user()
    if not world.is_mysql:
        few, many = "ALTER ROLE app CONNECTION LIMIT 3", "ALTER ROLE app CONNECTION LIMIT -1"
    world.console.run(few)
    try:
        async with world.serving(url, {"DATABASE_POOL_SIZE": "20", "DATABASE_MAX_OVERFLOW": "10"}) as serving:
            books = world.books(serving)
            async with books.load(writers=20, readers=8):
                await world.strike(lambda: books.statuses[503])
                world.console.run(many)
                await _back(world, books)
            return await world.balance(books)
    finally:
        world.console.run(many)


async def read_only(world: World) -> Balance:
    """The server takes no writes for a while: a standby that is promoted, or the switch of an administrator."""
    url = world.own_user() if world.is_mysql else world.server.url
    if not world.is_mysql:
        await in_thread(world.server.stop)
        (world.server.data / "data" / "standby.signal").touch()
        await in_thread(world.server.start)
    async with world.serving(url) as serving:
        books = world.books(serving)
        if world.is_mysql:
            async with books.load():
                await asyncio.sleep(world.seconds / 2)
                world.console.run("SET GLOBAL read_only = 1")
                await world.strike(lambda: books.statuses[503], seconds=world.seconds / 2)
                world.console.run("SET GLOBAL read_only = 0")
                await _back(world, books)
        else:
            async with books.load():
                await world.strike(lambda: books.statuses[503])
                await in_thread(lambda: world.console.run("SELECT pg_promote()"))
                await _back(world, books)
        return await world.balance(books)


async def books_refuse(books: Books, limit: float = 5) -> None:
    """Wait until a request was answered with 503, no longer than `limit`."""
    before = books.statuses[503]
    with suppress(TimeoutError):
        async with asyncio.timeout(limit):
            while books.statuses[503] == before:
                await asyncio.sleep(0.01)


async def _back(world: World, books: Books) -> None:
    """The server is back: wait for the first write, and write on for a while."""
    books.mark()
    await books.recovered()
    await asyncio.sleep(world.seconds / 4)
