"""A database that is behind the code is told from a bug: at the start, by readiness, by the error that it leads to."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from app import extensions, models, revision
from app.database import ReadSession, driver
from app.main import create_app
from app.settings import DatabaseSettings, Settings
from tests import facts
from tests.template.migrating import ROOT, Scripts, empty_database
from tests.urls import as_user

CREATE = 'op.create_table("orders", sa.Column("id", sa.Integer()))'
ADD = 'op.add_column("orders", sa.Column("note", sa.Integer()))'
DROP = 'op.drop_table("orders")'
REMOVE = 'op.drop_column("orders", "note")'
PASSWORD = "of no use"


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Alembic reads its scripts inside the loop that serves nothing but the migration."""


@pytest.fixture
def database(worker_id: str) -> Iterator[DatabaseSettings]:
    with empty_database(f"{worker_id}_revision") as database:
        yield database


@pytest.fixture
def scripts(database: DatabaseSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripts:
    """The migrations of the service's code."""
    scripts = Scripts(tmp_path, database)
    scripts.write("first", CREATE, DROP)
    scripts.write("second", ADD, REMOVE, after="first")
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    monkeypatch.setattr(revision, "ALEMBIC", tmp_path / "alembic.ini")
    return scripts


@asynccontextmanager
async def started(settings: Settings, database: DatabaseSettings) -> AsyncIterator[AsyncClient]:
    """The service with a route of a team's."""
    app: FastAPI = create_app(settings.model_copy(update={"database": database}))

    @app.get("/notes-of-orders")
    async def notes(session: ReadSession) -> int:
        return int(await session.fetch_val("SELECT COUNT(note) FROM orders"))

    transport = ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), AsyncClient(transport=transport, base_url="http://test") as client:
        app.state.readiness._max_age = 0
        yield client


async def migrations(client: AsyncClient) -> str | None:
    response = await client.get("/health/ready")
    assert response.status_code == 200
    assert response.json().pop("status") == "ready"
    found: str | None = response.json().get("migrations")
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == revision.__name__]


@pytest.mark.parametrize("at", ["base", "first"])
async def test_a_service_on_a_database_that_is_behind_starts_and_says_so(
    at: str, scripts: Scripts, database: DatabaseSettings, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    if at != "base":
        await asyncio.to_thread(scripts.upgrade, at)
    async with started(settings, database) as client:
        (warning,) = warnings(caplog)
        assert "`make migrate`" in warning
        assert "`alembic upgrade head`" in warning
        assert await migrations(client) == "behind"

        response = await client.get("/notes-of-orders", headers={"X-Request-ID": "mine"})  # a made one may hold 1146
        assert response.status_code == 500
        assert response.json()["type"] == "urn:problem:schema-mismatch"
        assert response.json()["detail"] == "The database is behind the code: migrations have not been applied"
        for name in ("orders", "COUNT", "42P01", "1146", "revision"):
            assert name not in response.text.replace("/notes-of-orders", "")
        (record,) = [record for record in caplog.records if record.name == "app.problems"]
        assert record.levelname == "ERROR"
        assert record.getMessage().startswith("The database is behind the code: migrations have not been applied: GET ")
        assert record.exc_info, "which statement it was is in the log"

        await asyncio.to_thread(scripts.upgrade)
        assert await migrations(client) == "current"
        assert (await client.get("/notes-of-orders")).json() == 0


async def test_a_service_on_a_database_that_is_not_behind_says_nothing_and_its_bugs_are_its_own(
    scripts: Scripts, database: DatabaseSettings, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(scripts.upgrade)
    async with started(settings, database) as client:
        assert warnings(caplog) == []
        assert await migrations(client) == "current"
        connection = await driver.connect(database.target, database, read_only=False)
        await driver.scalar(connection, "ALTER TABLE orders DROP COLUMN note")
        await driver.close(connection)
        document = (await client.get("/notes-of-orders")).json()
    assert document["title"] == "The statement names a table or a column that the database does not have"
    assert "detail" not in document


async def test_a_service_on_a_database_of_a_newer_release_is_not_behind(
    scripts: Scripts, database: DatabaseSettings, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    path = scripts.write("third", REMOVE, ADD, after="second")
    await asyncio.to_thread(scripts.upgrade)
    path.unlink()  # which the code of the release before has not
    async with started(settings, database) as client:
        assert warnings(caplog) == []
        assert await migrations(client) == "unknown"
        document = (await client.get("/notes-of-orders")).json()
    assert document["detail"] == "The database was migrated by a newer release, or by another branch"


async def test_an_unready_service_says_it_too(
    scripts: Scripts, database: DatabaseSettings, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def missing() -> None:
        raise RuntimeError

    monkeypatch.setattr(extensions, "readiness_checks", [missing], raising=False)
    async with started(settings, database) as client:
        response = await client.get("/health/ready")
    assert (response.status_code, response.json()["migrations"]) == (503, "behind")


@pytest.mark.parametrize("name", ["versions_of_orders", "VersionsOfOrders", "versions-of-orders"])
async def test_the_table_of_the_versions_may_have_another_name(
    scripts: Scripts, database: DatabaseSettings, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(models, "migration_options", {"version_table": name}, raising=False)
    await asyncio.to_thread(scripts.upgrade)
    async with started(settings, database) as client:
        assert await migrations(client) == "current"


async def test_without_its_migrations_a_service_says_nothing_of_them(
    scripts: Scripts,
    database: DatabaseSettings,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(revision, "ALEMBIC", scripts.folder / "nowhere.ini")
    async with started(settings, database) as client:
        assert await migrations(client) is None
        assert "detail" not in (await client.get("/notes-of-orders")).json()
    assert warnings(caplog) == []


async def test_a_migration_that_cannot_be_read_does_not_stop_the_start(
    scripts: Scripts, database: DatabaseSettings, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    (scripts.folder / "versions" / "broken.py").write_text("raise RuntimeError('broken')\n")
    async with started(settings, database) as client:
        assert await migrations(client) is None
    (warning,) = warnings(caplog)
    assert warning == "The migrations of this code cannot be read: RuntimeError('broken')"


@pytest.mark.usefixtures("no_pooler")
async def test_a_user_who_may_not_read_the_versions_cannot_tell(
    scripts: Scripts,
    settings: Settings,
    server: driver.RawConnection,
    worker_id: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    user = f"reader_{worker_id}"
    monkeypatch.setattr(models, "migration_options", facts.UNREADABLE_VERSIONS, raising=False)
    await facts.create_user(server, user, PASSWORD)
    try:
        limited = settings.database.model_copy(update={"url": as_user(settings.database.url, user, PASSWORD)})
        connection = await driver.connect(limited.target, limited)
        with caplog.at_level(logging.WARNING):
            assert await revision.state(connection) is None
        await driver.close(connection)
    finally:
        await facts.drop_user(server, user)
    assert warnings(caplog) == []
