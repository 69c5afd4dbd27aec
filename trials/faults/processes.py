"""The service's own processes: stopped, killed, of two releases at once, and with a clock that jumps."""

import asyncio
import os
import shutil
import signal
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from books import Balance, Row
from services import Service

from faults.server import children
from faults.world import PATIENT, Missed, NotHere, Serving, World, in_thread

MIGRATION = '''"""Add nicknames"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("developers", sa.Column("nickname", sa.String(50), nullable=True))


def downgrade() -> None:
    op.drop_column("developers", "nickname")
'''


async def terminated(world: World) -> Balance:
    """SIGTERM: what is in flight is answered, the process ends with what it was asked to, and the next one serves.

    With a delay: else a request may be sent into a connection that is just being closed, as in every server.
    """
    async with world.serving(variables={"SHUTDOWN_DELAY": "1"}) as old, world.serving() as new:
        books = world.books(old)
        async with books.load():
            await asyncio.sleep(world.seconds / 2)
            old.process.send_signal(signal.SIGTERM)
            world.struck += 1
            books.urls[:] = [new.url]  # as a load balancer does, a moment later
            books.mark()
            await books.recovered()
            await asyncio.sleep(world.seconds / 2)
        status = await in_thread(lambda: old.process.wait(30))
        if status not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            raise Missed(f"it ended with {status}")
        if books.counts["unknown"]:
            raise Missed(f"{books.counts['unknown']} requests in flight were not answered")
        return await world.balance(books)


async def worker_killed(world: World) -> Balance:
    """SIGKILL to one of two workers: what it had in flight is unknown, the other serves on, a new one starts."""
    async with world.serving(variables={"WEB_CONCURRENCY": "2"}) as serving:
        books = world.books(serving)
        async with books.load():
            await asyncio.sleep(world.seconds / 2)
            killed, other = _workers(serving)
            os.kill(killed, signal.SIGKILL)
            world.struck += 1
            books.mark()
            await books.recovered()
            async with asyncio.timeout(30):
                while len(workers := _workers(serving)) < 2 or killed in workers:
                    await asyncio.sleep(0.1)
            if other not in workers:
                raise Missed("the other worker was replaced too")
            await asyncio.sleep(world.seconds / 2)
        return await world.balance(books)


def _workers(serving: Serving) -> list[int]:
    return [each for each in children(serving.process.pid) if b"spawn_main" in _command(each)]


async def two_releases(world: World) -> Balance:
    """Expand and contract: a column comes and goes while the release before serves, beside the one that wanted it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "next")
        shutil.copytree(world.service.path, path, ignore=shutil.ignore_patterns(".venv", "__pycache__", ".*_cache"))
        (path / ".venv").symlink_to(world.service.path / ".venv")
        (path / "migrations" / "versions" / "0007_add_nicknames.py").write_text(MIGRATION)

        async def alembic(*command: str) -> None:
            run = [world.service.executable("alembic"), "-c", str(path / "alembic.ini"), *command]
            environment = {"DATABASE_URL": world.server.url, "PYTHONPATH": str(path)}
            await in_thread(lambda: _in(path, world, run, environment))
            world.struck += 1

        async with AsyncExitStack() as stack:
            old = await stack.enter_async_context(world.serving(variables=PATIENT))
            books = world.books(old)
            async with books.load():
                await asyncio.sleep(world.seconds / 4)
                await alembic("upgrade", "head")
                new = await stack.enter_async_context(world.serving(variables=PATIENT, path=path))
                books.urls.append(new.url)
                await asyncio.sleep(world.seconds / 2)
                await alembic("downgrade", "-1")
                await asyncio.sleep(world.seconds / 4)
            if refused := books.counts["refused"] + books.counts["unknown"]:
                raise Missed(f"{refused} requests were not served")
            return await world.balance(books)


def _in(path: Path, world: World, command: list[str], environment: dict[str, str]) -> None:
    Service(path, world.service.python, {**world.service.environment, **environment}).run(*command)


async def clock_jumps(world: World) -> Balance:
    """The service's wall clock goes an hour forward and two back; the monotonic one goes on."""
    library = os.environ.get("LIBFAKETIME")
    if not library:
        raise NotHere("LIBFAKETIME names no libfaketimeMT.so.1")
    with tempfile.NamedTemporaryFile("w") as file:
        clock = Path(file.name)
        clock.write_text("+0\n")
        preload = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        async with world.serving(variables={**PATIENT, **preload}) as serving:
            books = world.books(serving)
            async with books.load():
                for number, jump in enumerate(("+1h", "-1h", "+0")):
                    await asyncio.sleep(world.seconds / 3)
                    clock.write_text(f"{jump}\n")
                    world.struck += 1
                    await books.create(Row(f"clock-{number}@{world.name}.example.com"))  # one that stays as it is
                await asyncio.sleep(world.seconds / 3)
            seconds = "TIMESTAMPDIFF(SECOND, MIN(updated_at), MAX(updated_at))"
            if not world.is_mysql:
                seconds = "extract(epoch FROM max(updated_at) - min(updated_at))"
            spread = float(await in_thread(lambda: world.console.value(f"SELECT {seconds} FROM developers")))
            if spread < 3000:
                raise Missed(f"the clock did not jump: rows are {spread} s apart")
            if refused := books.counts["refused"] + books.counts["unknown"]:
                raise Missed(f"{refused} requests were not served")
            return await world.balance(books)


def _command(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()
