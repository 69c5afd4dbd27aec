"""A disk without space: a small file system in memory, in a mount namespace of the server's own."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from books import Balance, balance
from services import DEV_SERVER, CommandFailed, database_url

from faults.networks import namespace
from faults.world import Missed, World, in_thread

SIZE = "300m"
MOUNT = f"""
mount -t tmpfs -o size={SIZE},mode=711 tmpfs "$0" && exec "$@"
"""


async def full(world: World) -> Balance:
    """No byte is left under load; then there is space again."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        data = Path(folder, "data")
        data.mkdir()
        started = _server(world, data)
        url, seen = await in_thread(started.__enter__)
        try:
            await in_thread(lambda: world.service.migrate(url))
            async with world.serving(url) as serving:
                books = world.books(serving)

                async def many() -> None:
                    while not filled.is_set():
                        await books.bulk(500)
                        await asyncio.sleep(0.01)

                filled = asyncio.Event()
                async with books.load(), asyncio.TaskGroup() as group:
                    group.create_task(many())
                    await asyncio.sleep(world.seconds / 2)
                    await in_thread(lambda: _fill(seen / "filler"))
                    await world.strike(lambda: books.statuses[503])
                    (seen / "filler").unlink()
                    books.mark()
                    if await books.recovered() is None:
                        raise Missed("the server did not come back by itself")
                    filled.set()
                return await balance(books, world.service, url)
        finally:
            with suppress(CommandFailed):
                await in_thread(lambda: started.__exit__(None, None, None))


@contextmanager
def _server(world: World, data: Path) -> Iterator[tuple[str, Path]]:
    """The URL of the service's database, and where the folder of its file system is seen from here."""
    python = world.service.executable("python")
    command = [*namespace(), "sh", "-c", MOUNT, str(data), python, "-c", DEV_SERVER, str(data)]
    with (
        tempfile.TemporaryFile("w+") as log,
        world.service.background(*command, log=log, ends_with_input=True) as process,
    ):
        assert process.stdout
        if not (url := process.stdout.readline().strip()):
            log.seek(0)
            raise CommandFailed(f"{log.read()}\n\nno server on a file system of {SIZE}")
        yield database_url(url), Path(f"/proc/{process.pid}/root{data}")


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(2**16))
