"""The recipe of docs/migrations.md: a column gets another name while two releases run side by side at each step."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, String, Table, func, select

from app.database import Database, Session
from app.settings import DatabaseSettings
from tests.statements import rows, run, value
from tests.template.migrating import Scripts, empty_database

ROUNDS = 5
_counter = iter(range(1, 1_000_000))


def table(*names: str) -> Table:
    """As a release declares it."""
    columns = [Column(name, String(40)) for name in names]
    return Table("orders", MetaData(), Column("id", BigInteger, primary_key=True, autoincrement=False), *columns)


OLD, BOTH, NEW = table("name"), table("name", "title"), table("title")


class Release:
    """Code of one release: the columns that it writes, and how it reads the text."""

    def __init__(self, orders: Table, text: Any, *written: str) -> None:
        self.orders, self.text, self.written = orders, text, written
        self.rounds = 0

    async def serve(self, database: Database) -> None:
        """Write an order and read it, again and again."""
        while True:
            id = next(_counter)
            await self._write(database, id)
            assert await self._read(database, id) == f"order {id}"
            self.rounds += 1

    async def _write(self, database: Database, id: int) -> None:
        insert = self.orders.insert().values(id=id, **dict.fromkeys(self.written, f"order {id}"))

        async def work(session: Session) -> None:
            await run(session, insert)

        await database.run_transaction(work)

    async def _read(self, database: Database, id: int) -> Any:
        async with database.read() as session:
            return await value(session, select(self.text).where(self.orders.c.id == id))

    async def read_all(self, database: Database) -> int:
        """How many orders there are; each is read as this release reads it."""
        async with database.read() as session:
            orders = await rows(session, select(self.orders.c.id, self.text))
        assert [text for _, text in orders] == [f"order {id}" for id, _ in orders]
        return len(orders)


FIRST = Release(OLD, OLD.c.name, "name")
SECOND = Release(BOTH, func.coalesce(BOTH.c.title, BOTH.c.name), "name", "title")
THIRD = Release(NEW, NEW.c.title, "title")


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Alembic reads its scripts inside the loop that serves nothing but the migration."""


@pytest.fixture
def settings_of_database(worker_id: str) -> Iterator[DatabaseSettings]:
    with empty_database(f"{worker_id}_expand") as database:
        yield database


@asynccontextmanager
async def running(settings: DatabaseSettings, *releases: Release) -> AsyncIterator[None]:
    """Each serves before, while and after the block; whatever goes wrong in one is raised."""
    databases = [Database(settings.model_copy(update={"pool_size": 2, "max_overflow": 0})) for _ in releases]
    tasks = [asyncio.create_task(one.serve(database)) for one, database in zip(releases, databases, strict=True)]

    async def rounds() -> None:
        goals = [release.rounds + ROUNDS for release in releases]
        while any(release.rounds < goal for release, goal in zip(releases, goals, strict=True)):
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.005)

    try:
        await rounds()
        yield
        await rounds()
        for release, database in zip(releases, databases, strict=True):
            await release.read_all(database)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for database in databases:
            await database.close()


async def test_a_column_gets_another_name_and_no_release_notices(
    settings_of_database: DatabaseSettings, tmp_path: Path
) -> None:
    settings, scripts = settings_of_database, Scripts(tmp_path, settings_of_database)
    column = 'sa.Column("name", sa.String(40), nullable=False)'
    key = 'sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False)'
    scripts.write("create", f'op.create_table("orders", {key}, {column})')
    scripts.write("expand", 'op.add_column("orders", sa.Column("title", sa.String(40)))', after="create")
    fill = 'op.execute("UPDATE orders SET title = name WHERE title IS NULL")'
    scripts.write("fill", fill, after="expand")
    change = "existing_type=sa.String(40), nullable"
    scripts.write("require", f'op.alter_column("orders", "title", {change}=False)', after="fill")
    scripts.write("allow", f'op.alter_column("orders", "name", {change}=True)', after="require")
    scripts.write("contract", 'op.drop_column("orders", "name")', after="allow")
    upgrade = scripts.upgrade

    await asyncio.to_thread(upgrade, "create")
    async with running(settings, FIRST):
        await asyncio.to_thread(upgrade, "expand")
    async with running(settings, FIRST, SECOND):  # the roll-out of the second
        pass
    async with running(settings, SECOND):
        await asyncio.to_thread(upgrade, "allow")
    async with running(settings, SECOND, THIRD):  # the roll-out of the third
        pass
    async with running(settings, THIRD):
        await asyncio.to_thread(upgrade, "contract")
    database = Database(settings)
    assert await THIRD.read_all(database) >= 9 * ROUNDS
    await database.close()
