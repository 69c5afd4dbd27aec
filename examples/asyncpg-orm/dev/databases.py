"""Creates and drops databases, for development and for the tests; what is in the way is said in one sentence."""

from contextlib import suppress
from dataclasses import replace

import asyncpg

from app.database import driver
from app.settings import DatabaseSettings
from app.startup import CannotConnect, in_a_sentence

LONGEST = 63  # https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS


async def create(url: str) -> None:
    """Create the database that the URL names, unless it is there. Raises CannotConnect."""
    await _run(url, "CREATE DATABASE {}")


async def drop(url: str) -> None:
    """Drop the database that the URL names, with all that is connected to it, if it is there.

    Raises CannotConnect.
    """
    await _run(url, "DROP DATABASE IF EXISTS {} WITH (FORCE)")


async def _run(url: str, statement: str) -> None:
    settings = DatabaseSettings(_env_file=None, url=url)
    target = settings.target
    if len(target.database.encode()) > LONGEST:  # else the server cuts it without a word, to what may be another's
        raise CannotConnect(f"The name of the database {target.database} has more than {LONGEST} bytes: shorten it")
    with in_a_sentence(target):
        connection = await driver.connect(replace(target, database="postgres"), settings, read_only=False)
        try:
            name = target.database.replace('"', '""')
            with suppress(asyncpg.DuplicateDatabaseError):
                await connection.execute(statement.format(f'"{name}"'))
        finally:
            await driver.close(connection)
