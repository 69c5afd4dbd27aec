"""More than the pool, the server or its rows take; and more rows than the memory does."""

import asyncio
import random
import resource
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from books import Balance, Books, Row

from faults.world import PATIENT, Missed, World, in_thread

ROWS = 5
HELD = {"DATABASE_STATEMENT_TIMEOUT": "1", "DATABASE_TRANSACTION_TIMEOUT": "2"}


async def pool_exhausted(world: World) -> Balance:
    """Ninety clients of two connections, and nobody waits for long."""
    few = {"DATABASE_POOL_SIZE": "1", "DATABASE_MAX_OVERFLOW": "1", "DATABASE_POOL_TIMEOUT": "0.05"}
    async with world.serving(variables=few) as serving:
        books = world.books(serving)
        async with books.load(writers=60, readers=30):
            await world.strike(lambda: books.statuses[503])
        return await world.balance(books)


async def lock_storm(world: World) -> Balance:
    """Transfers both ways at SERIALIZABLE, and changes of the same rows in random orders: nobody sees half of one."""
    async with world.serving() as serving:
        books = world.books(serving)
        async with books.open():
            rows = [Row(f"storm-{number}@{world.name}.example.com") for number in range(ROWS)]
            for row in rows:
                assert await books.create(row), books.examples
            ids = [row.id for row in rows]
            for number in range(ROWS * 4):
                answer = await books.ask("POST", f"/developers/{ids[number % ROWS]}/notes", json={"text": str(number)})
                assert isinstance(answer, httpx.Response), answer
                assert answer.is_success, answer.text
            stop = asyncio.Event()

            async def transfer() -> None:
                while not stop.is_set():
                    one, other = random.sample(ids, 2)
                    body = {"from_developer_id": one, "to_developer_id": other}
                    await _counted(books, "POST", "/notes/transfer", json=body)

            async def change_all() -> None:
                while not stop.is_set():
                    value = f"all {random.random()}"
                    changes = [{"id": id, "specialty": value} for id in random.sample(ids, ROWS)]
                    await _counted(books, "PATCH", "/developers/bulk", json=changes)

            async with asyncio.TaskGroup() as group, books.load(writers=2):
                for _ in range(8):
                    group.create_task(transfer())
                    group.create_task(change_all())
                await world.strike(lambda: books.counts["storm"], seconds=world.seconds * 1.5)
                stop.set()
        last = await in_thread(lambda: world.console.run("SELECT email, specialty FROM developers"))
        values = {value for email, value in last if email.startswith("storm-")}
        before = set().union(*(row.possible for row in rows))  # where each change of all met another one
        notes = await in_thread(lambda: world.console.value("SELECT count(*) FROM notes"))
        if (len(values) != 1 and values != before) or int(notes) != ROWS * 4:
            raise Missed(f"of {ROWS * 4} notes {notes} are there; rows that change together have {len(values)} values")
        for row in rows:
            row.possible |= values
        return await world.balance(books)


async def _counted(books: Books, method: str, path: str, **request: Any) -> None:
    answer = await books.ask(method, path, **request)
    books.counts["storm"] += 1
    books.counts["acknowledged"] += isinstance(answer, httpx.Response) and answer.is_success


async def lock_held(world: World) -> Balance:
    """Somebody holds the table for longer than a statement may take."""
    if world.is_mysql:
        lock, free = ["LOCK TABLES developers READ"], "UNLOCK TABLES"
    else:
        lock, free = ["BEGIN", "LOCK TABLE developers IN EXCLUSIVE MODE"], "COMMIT"
    with world.server.console(keeps=True) as holder:
        async with world.serving(variables=HELD) as serving:
            books = world.books(serving)
            async with books.load():
                await asyncio.sleep(world.seconds / 2)
                for statement in lock:
                    await in_thread(partial(holder.run, statement))
                await world.strike(lambda: books.statuses[503] + books.statuses[504], seconds=2.5)
                await in_thread(lambda: holder.run(free))
                books.mark()
                await books.recovered()
                await asyncio.sleep(world.seconds / 4)
            return await world.balance(books)


async def memory_limit(world: World) -> Balance:
    """A process that may take 128 MiB more than it has imports and exports many rows, several at once.

    Half of that it needs: 16 for three exports, the rest for four imports, with the stacks of four threads.
    """
    count, size = (20_000, 2_000) if world.short else (200_000, 5_000)
    await in_thread(lambda: world.console.run(_fill(count, world.is_mysql)))
    try:
        async with world.serving(variables=PATIENT) as serving:
            books = world.books(serving)
            async with books.load(writers=4):
                await asyncio.sleep(0.5)
            await in_thread(lambda: _limit_memory(serving.process.pid, 128 * 2**20))
            async with books.load(writers=2), asyncio.TaskGroup() as group:
                exports = [group.create_task(_export(serving.url)) for _ in range(3)]
                for _ in range(4):
                    group.create_task(books.bulk(size))
            world.struck = sum(export.result() >= count for export in exports)
            if world.struck != len(exports):
                raise Missed(f"exports of {count} rows had {[export.result() for export in exports]}")
            return await world.balance(books)
    finally:
        delete = "DELETE FROM developers WHERE specialty = 'filler'"
        with suppress(Exception):
            await in_thread(lambda: world.console.run(delete))


def _fill(count: int, is_mysql: bool) -> str:
    columns = "INSERT INTO developers (name, email, specialty, created_at, updated_at) "
    if not is_mysql:
        return f"""{columns} SELECT repeat('n', 60), 'filler-' || n || '@example.com', 'filler', now(), now()
            FROM generate_series(1, {count}) AS n"""
    digits = " CROSS JOIN ".join(
        f"(SELECT 0 AS d {''.join(f'UNION SELECT {d} ' for d in range(1, 10))}) AS t{place}" for place in range(6)
    )
    number = " + ".join(f"t{place}.d * {10**place}" for place in range(6))
    return f"""{columns} SELECT REPEAT('n', 60), CONCAT('filler-', {number}, '@example.com'), 'filler', NOW(), NOW()
        FROM {digits} WHERE {number} < {count}"""


async def _export(url: str) -> int:
    lines = 0
    async with (
        httpx.AsyncClient(timeout=60, trust_env=False) as client,
        client.stream("GET", f"{url}/developers/export") as answer,
    ):
        async for chunk in answer.aiter_bytes():
            lines += chunk.count(b"\n")
    return lines


def _limit_memory(process: int, more: int) -> None:
    """Of its own data, https://man7.org/linux/man-pages/man2/getrlimit.2.html: as a cgroup does, without its rights."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    data = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
    resource.prlimit(process, resource.RLIMIT_DATA, (data + more, data + more))
