"""Runs the migrations over the service's own driver, whatever the access style.

Many replicas may start at once: a lock on the server lets one migrate at a time, and who finds nothing to do goes on
without it. No statement here has a time limit.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.database import driver
from app.models import metadata
from app.settings import DatabaseSettings, InvalidSettings, load_settings


def main() -> None:
    settings: DatabaseSettings | None = context.config.attributes.get("settings")  # the tests give theirs
    if context.is_offline_mode():
        context.configure(url=f"{driver.DIALECT}://", target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    try:
        asyncio.run(_migrate(settings or load_settings().database))
    except InvalidSettings as error:
        raise SystemExit(str(error)) from None


async def _migrate(settings: DatabaseSettings) -> None:
    # 0 turns the servers' limits off: creating an index takes as long as it takes.
    unlimited = settings.model_copy(update={"statement_timeout": 0, "transaction_timeout": 0})

    async def connect() -> driver.RawConnection:
        return await driver.connect(settings.target, unlimited, read_only=False)

    engine = create_async_engine(f"{driver.DIALECT}://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


def _run(connection: Connection) -> None:
    # compare_type would see our types, compiled for the server, as different from what it reflects
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        if connection.execute(text(driver.MIGRATION_LOCK)).scalar() != 1:
            raise SystemExit("Another migration holds the lock: wait for it, or end it on the server.")
        context.run_migrations()


main()
