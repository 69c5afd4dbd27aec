"""What tests/conftest.py promises to the tests of a team."""

from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from httpx import AsyncClient
from pydantic import SecretStr
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, func, insert, select, text, update

from app.database import driver
from app.settings import Settings
from app.startup import CannotConnect
from dev import databases
from tests import conftest, facts
from tests.conftest import empty, test_database_url
from tests.statements import sqlalchemy_engine
from tests.urls import beside


async def test_a_bug_in_a_route_shows_its_traceback(
    app: FastAPI, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """pytest prints what was logged beside a test that fails."""

    @app.get("/bug")
    async def with_a_bug() -> None:
        raise LookupError("of the team's own")

    assert (await client.get("/bug")).status_code == 500
    assert "in with_a_bug" in caplog.text
    assert "LookupError: of the team's own" in caplog.text


async def test_a_dependency_can_be_replaced(app: FastAPI, client: AsyncClient) -> None:
    async def current_user() -> str:
        raise NotImplementedError

    @app.get("/whoami")
    async def whoami(user: Annotated[str, Depends(current_user)]) -> str:
        return user

    app.dependency_overrides[current_user] = lambda: "Ada"
    assert (await client.get("/whoami")).json() == "Ada"


async def test_tables_are_emptied_whatever_refers_to_what(settings: Settings) -> None:
    tables = MetaData()
    id = partial(Column, "id", Integer, primary_key=True, autoincrement=False)
    tree = Table("trees", tables, id(), Column("parent_id", ForeignKey("trees.id")))
    team = Table("teams", tables, id(), Column("owner_id", ForeignKey("members.id", name="of_team", use_alter=True)))
    member = Table("members", tables, id(), Column("team_id", ForeignKey("teams.id")))
    engine = sqlalchemy_engine(settings.database)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(tables.create_all)
        async with engine.begin() as connection:
            for row in ({"id": 1}, {"id": 2, "parent_id": 1}):
                await connection.execute(insert(tree), row)
            await connection.execute(insert(team), {"id": 1})
            await connection.execute(insert(member), {"id": 1, "team_id": 1})
            await connection.execute(update(team), {"owner_id": 1})
        await empty(settings, tables)
        async with engine.begin() as connection:
            for table in (tree, team, member):
                assert await connection.scalar(select(func.count()).select_from(table)) == 0
    finally:
        async with engine.begin() as connection:
            await connection.run_sync(tables.drop_all)
        await engine.dispose()


async def test_a_view_among_the_tables_is_left_alone_and_a_table_of_any_name_is_emptied(settings: Settings) -> None:
    tables = MetaData()
    half = Table("half%full", tables, Column("id", Integer, primary_key=True, autoincrement=False))
    seen = Table("seen", tables, Column("number", Integer), info={"view": True})
    engine = sqlalchemy_engine(settings.database)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(half.create)
            await connection.execute(text("CREATE VIEW seen AS SELECT count(*) AS number FROM (SELECT 1 AS one) AS it"))
            await connection.execute(insert(half), {"id": 1})
        await empty(settings, tables)
        async with engine.begin() as connection:
            assert await connection.scalar(select(func.count()).select_from(half)) == 0
            assert await connection.scalar(select(seen.c.number)) == 1
    finally:
        async with engine.begin() as connection:
            await connection.execute(text("DROP VIEW IF EXISTS seen"))
            await connection.run_sync(half.drop, checkfirst=True)
        await engine.dispose()


def test_a_table_of_another_database_is_not_emptied_on_a_server_that_is_named(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = MetaData()
    Table("invoices", tables, Column("id", Integer), schema="billing")
    Table("ours", tables, Column("id", Integer))
    monkeypatch.setattr(conftest, "metadata", tables)
    controller = SimpleNamespace(option=pytestconfig.option)
    if (others := facts.elsewhere(tables)) == []:  # a schema is a part of the worker's own
        conftest.pytest_configure(controller)  # type: ignore[arg-type]  # as that of the process that has the workers
        return
    assert others == ["billing.invoices"]
    assert conftest.pytest_xdist_auto_num_workers(pytestconfig) == 1
    with pytest.raises(pytest.UsageError, match=r"^billing\.invoices: in databases of their own, .* a private one$"):
        conftest.pytest_configure(controller)  # type: ignore[arg-type]


async def test_a_database_with_the_longest_name_is_not_dropped_for_one_of_a_test(
    settings: Settings, worker_id: str
) -> None:
    """PostgreSQL would cut the test's name to that of the database beside which it is made."""
    given = beside(settings.database.url.get_secret_value(), f"{worker_id}_".ljust(63, "p"))
    await databases.create(given)
    try:
        for use in (databases.create, databases.drop):
            with suppress(CannotConnect):
                await use(test_database_url(given, "gw0"))
        named = settings.database.model_copy(update={"url": SecretStr(given)})
        await driver.close(await driver.connect(named.target, named))
    finally:
        await databases.drop(given)
