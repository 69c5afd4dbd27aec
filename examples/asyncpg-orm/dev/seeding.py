"""`make seed`: runs `seed(session)` of the team's dev/seed.py, in one transaction: all of it is stored, or nothing."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module

from app.database import Database, SchemaMismatch, Session, Unavailable
from app.settings import DatabaseSettings, load_database_settings

LIMIT = 3600.0  # seconds

MISSING = (
    "There is nothing to seed yet: write `async def seed(session: Session) -> None` into dev/seed.py, a file of your"
    " own; docs/development.md has an example."
)


async def run(seed: Callable[[Session], Awaitable[object]], settings: DatabaseSettings) -> None:
    """Raises what `seed` raises; then nothing is stored."""
    database = Database(settings.model_copy(update={"statement_timeout": LIMIT, "transaction_timeout": LIMIT}))
    try:
        async with database.transaction() as session:
            await seed(session)
    finally:
        await database.close()


def main() -> None:
    try:
        seed = getattr(import_module("dev.seed"), "seed", None)
    except ModuleNotFoundError as error:
        if error.name != "dev.seed":
            raise
        seed = None
    if seed is None:
        sys.exit(MISSING)
    try:
        asyncio.run(run(seed, load_database_settings()))
    except Unavailable as error:
        sys.exit(f"Nothing was stored: {error}.")
    except SchemaMismatch as error:
        sys.exit(f"Nothing was stored: {error}. Bring it up by `make migrate`.")


if __name__ == "__main__":
    main()
