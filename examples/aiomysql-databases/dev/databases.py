"""Creates and drops databases, for development and for the tests; what is in the way is said in one sentence."""

from dataclasses import replace

from app.database import driver
from app.settings import DatabaseSettings
from app.startup import in_a_sentence


async def create(url: str) -> None:
    """Create the database that the URL names, unless it is there. Raises CannotConnect."""
    await _run(url, "CREATE DATABASE {} CHARACTER SET utf8mb4")


async def drop(url: str) -> None:
    """Drop the database that the URL names, if it is there. Raises CannotConnect."""
    await _run(url, "DROP DATABASE {}")


async def _run(url: str, statement: str) -> None:
    settings = DatabaseSettings(_env_file=None, url=url)
    target = settings.target
    with in_a_sentence(target):
        connection = await driver.connect(replace(target, database=""), settings, read_only=False)
        try:
            name = target.database.replace("`", "``")
            schema = connection.escape(target.database)
            found = f"SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = {schema}"
            there = await driver.scalar(connection, found)
            if bool(there) == statement.startswith("DROP"):  # IF EXISTS raises warnings
                await driver.scalar(connection, statement.format(f"`{name}`"))
        finally:
            await driver.close(connection)
