"""What tests/conftest.py promises to the tests of a team."""

from functools import partial
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from httpx import AsyncClient
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, func, insert, select, update

from app.settings import Settings
from tests.conftest import empty
from tests.statements import sqlalchemy_engine


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
