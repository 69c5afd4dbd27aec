"""Is the database where the migrations of this code lead? The service says so, and goes on whatever the answer is.

It never migrates, and it starts and is ready all the same: a migration that drops what only the last release needed is
applied when that one is gone (docs/migrations.md), so a roll-out that waited for it would wait for ever.
"""

import asyncio
import logging
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from alembic.config import Config
from alembic.script import ScriptDirectory

from app import models
from app.database import DatabaseError, SchemaMismatch, dialect, driver
from app.database.translation import translated

logger = logging.getLogger(__name__)

ALEMBIC = Path(__file__).parents[1] / "alembic.ini"

# "unknown": at a migration that this code does not have, such as that of a newer release.
State: TypeAlias = Literal["current", "behind", "unknown"]


async def state(connection: driver.RawConnection) -> State | None:
    """What this server's database is; None when nobody can tell: without migrations, or a grant to read their table."""
    newest, known = await asyncio.to_thread(_of_code, ALEMBIC)
    if not newest:
        return None
    try:
        with translated(writing=False):
            recorded = await driver.scalar(connection, dialect.REVISIONS.format(_version_table()))
    except SchemaMismatch:  # never migrated
        recorded = None
    except DatabaseError:
        return None
    found = set((recorded or "").split())
    if found - known:
        return "unknown"
    return "current" if found >= newest else "behind"


async def warn_if_behind(connection: driver.RawConnection) -> None:
    if await state(connection) == "behind":
        logger.warning("The database is behind the code: run `make migrate`, or in the image `alembic upgrade head`")


def _version_table() -> str:
    options = getattr(models, "migration_options", {})
    schema, table = (options.get("version_table_schema"), options.get("version_table", "alembic_version"))
    return ".".join(f"{dialect.QUOTE}{name}{dialect.QUOTE}" for name in (schema, table) if name)  # as Alembic writes it


@cache
def _of_code(config: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The newest migrations, and all of them; none where the files were not brought along."""
    if not config.exists():
        return frozenset(), frozenset()
    try:
        alembic = Config(config)
        alembic.set_main_option("prepend_sys_path", "")  # it would change that of the service
        scripts = ScriptDirectory.from_config(alembic)
        return frozenset(scripts.get_heads()), frozenset(script.revision for script in scripts.walk_revisions())
    except Exception as error:  # they are any Python: what is wrong with one is no reason not to serve
        logger.warning("The migrations of this code cannot be read: %r", error)
        return frozenset(), frozenset()
