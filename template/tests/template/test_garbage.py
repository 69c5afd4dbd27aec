"""What is no longer needed goes at once: a pause of the garbage collector is one in which no request is served."""

import gc
import subprocess
import sys
from collections.abc import Callable

from sqlalchemy import insert, select

from app.database import Database, driver
from tests.probes import probe, probes

COUNT = "import gc, app.main; print(gc.get_freeze_count() > 0.9 * (gc.get_freeze_count() + len(gc.get_objects())))"


async def test_a_unit_of_work_leaves_nothing_to_the_garbage_collector(probe_database: Callable[..., Database]) -> None:
    database = probe_database()

    async def work(number: int) -> None:
        async with database.transaction() as session:
            await session.affected(insert(probes).values(probe(number)))
        async with database.read() as session:
            await session.fetch_all(select(probes))

    await work(1)  # compiles, opens connections
    while gc.collect():  # what other tests have left may leave more when it is finalized
        pass
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        await work(2)
        gc.collect()
        ours = {f"{type(o).__module__}.{type(o).__qualname__}" for o in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not {name for name in ours if name.startswith(("app.", "sqlalchemy.", f"{driver.NAME}."))}


def test_what_is_imported_is_not_walked_over_again() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
