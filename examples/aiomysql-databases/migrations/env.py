"""Runs the migrations over the service's own driver, whatever the access style.

Many replicas may start at once: a lock on the server lets one migrate at a time, and who finds nothing to do goes on
without it. No statement here has a time limit; but for what others use it waits seconds, not longer, and tries again.
What stops a migration and is nobody's bug is one sentence with the way out.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.database import driver
from app.logs import configure_logging, log_end
from app.settings import DatabaseSettings, InvalidSettings, load_database_settings
from app.startup import CannotConnect, first_connection
from migrations import lock, patience, server, way_out
from migrations.autogenerate import options
from migrations.kept import Kept


def main() -> None:
    if context.config.cmd_opts is not None:  # the command `alembic`, not a test: show what is run
        configure_logging()
        sys.excepthook = log_end
    settings: DatabaseSettings | None = context.config.attributes.get("settings")  # the tests give theirs
    if context.is_offline_mode():
        as_printed = {"paramstyle": "named"}  # else a % is doubled, for a driver that makes one of two
        context.configure(**{"dialect_opts": as_printed, **options()}, url=f"{driver.DIALECT}://", literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    try:
        with _development() if settings is None else nullcontext():
            asyncio.run(_migrate(settings or load_database_settings()))
    except (InvalidSettings, CannotConnect) as error:
        raise SystemExit(str(error)) from None


@contextmanager
def _development() -> Iterator[None]:
    """On the database of `make dev`, where there is development on this machine and no other one is named."""
    if os.environ.get("DATABASE_URL") or find_spec("dev") is None:
        yield
        return
    from dev.development import database
    from dev.server import ServerError

    try:
        with database():
            yield
    except ServerError as error:
        raise SystemExit(str(error)) from None


async def _migrate(settings: DatabaseSettings) -> None:
    # 0 turns the servers' limits off: creating an index takes as long as it takes.
    unlimited = settings.model_copy(update={"statement_timeout": 0, "transaction_timeout": 0})

    async def connect() -> driver.RawConnection:
        connection = await first_connection(unlimited, read_only=False)
        if not settings.external_pooler:  # for what runs outside of a transaction
            await driver.scalar(connection, server.limits(0, "session"))
        return connection

    # With a level the connection leaves autocommit, on each server: what a failed migration wrote is undone.
    engine = create_async_engine(
        f"{driver.DIALECT}://",
        async_creator=connect,
        poolclass=NullPool,
        isolation_level=settings.isolation_level,
        hide_parameters=True,  # of an error, whose message goes into logs
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


def _run(connection: Connection) -> None:
    way_out.refuse_files()
    context.configure(connection=connection, **options())
    with way_out.from_the_server():
        if "destination_rev" not in context.get_context().opts:  # `current`, `check`: they look, and wait for nobody
            with context.begin_transaction():
                context.run_migrations()
            return
        if _is_upgraded():
            return
        connection.rollback()
        with lock.of(connection) as has_lock:
            event.listen(connection, "begin", lambda _: patience.begin(connection, has_lock))
            kept = Kept(connection)
            try:
                with way_out.from_half_way(kept):
                    patience.run(connection, kept)
            except CommandError:
                connection.rollback()
                way_out.from_unknown_revisions()
                raise


def _is_upgraded() -> bool:
    """Whether this is an upgrade to the newest migration and the database is already there."""
    migrations = context.get_context()
    to_newest = migrations.opts["destination_rev"] in ("head", "heads")
    return to_newest and set(migrations.get_current_heads()) == set(way_out.known_heads())


main()
