"""Migrations: they lead to the tables of the code and back, and many that run at once do no harm."""

import asyncio
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from io import StringIO
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from alembic import command
from alembic.config import Config
from alembic.ddl.impl import DefaultImpl
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, make_url
from sqlalchemy.exc import CompileError, InvalidRequestError

from app.database import driver
from app.models import metadata
from app.settings import DatabaseSettings
from tests.processes import Process, prepare
from tests.proxy import by_way_of, reserved_port
from tests.statements import sqlalchemy_engine
from tests.template.migrating import empty_database
from tests.urls import replaced

prepare()

ROOT = Path(__file__).parents[2]


PASSWORD = quote("p@ss/w#rd%:?%(x)s", safe="")


def run_alembic(*arguments: str, url: str, folder: Path, **variables: str) -> Process:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url, **variables}
    return Process("alembic", "-c", str(ROOT / "alembic.ini"), *arguments, folder=folder, environment=environment)


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Alembic reads its scripts inside the loop that serves nothing but the migration."""


@pytest.fixture
def database(worker_id: str) -> Iterator[DatabaseSettings]:
    """An empty database."""
    with empty_database(f"{worker_id}_migrations") as database:
        yield database


@pytest.fixture
def alembic(database: DatabaseSettings) -> Config:
    """What Alembic's commands take."""
    return configuration(ROOT / "migrations", database)


def configuration(scripts: Path, database: DatabaseSettings, output: StringIO | None = None) -> Config:
    config = Config(ROOT / "alembic.ini", output_buffer=output, stdout=StringIO())
    config.set_main_option("script_location", str(scripts))
    config.attributes["settings"] = database
    return config


def revisions(config: Config) -> list[str]:
    """All of them, the oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def tables(database: DatabaseSettings) -> set[str]:
    """Those that are there, without Alembic's own."""

    def names(connection: Connection) -> set[str]:
        return {*inspect(connection).get_table_names()} - {"alembic_version"}

    async def ask() -> set[str]:
        engine = sqlalchemy_engine(database, read_only=True)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(names)
        finally:
            await engine.dispose()

    return asyncio.run(ask())


def test_all_migrations_go_up_and_down_and_up_again(alembic: Config, database: DatabaseSettings) -> None:
    command.upgrade(alembic, "head")
    assert tables(database) >= {*metadata.tables}
    command.downgrade(alembic, "base")
    assert tables(database) == set()
    command.upgrade(alembic, "head")
    assert tables(database) >= {*metadata.tables}


def test_the_migrations_lead_to_the_tables_of_the_code(alembic: Config) -> None:
    command.upgrade(alembic, "head")
    command.check(alembic)  # raises with the differences


def test_a_generated_migration_of_everything_runs_and_is_clean(database: DatabaseSettings, tmp_path: Path) -> None:
    if not metadata.tables:
        pytest.skip("this service has no table yet")
    scripts = shutil.copytree(ROOT / "migrations", tmp_path / "migrations", ignore=lambda *_: ["versions"])
    config = configuration(scripts, database)
    command.revision(config, "everything", autogenerate=True)
    command.upgrade(config, "head")
    command.check(config)
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--config", str(ROOT / "ruff.toml"), str(scripts / "versions")]
    for check in (["check"], ["format", "--check"]):
        result = subprocess.run([*ruff, *check, *options], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout


def test_eight_replicas_that_migrate_at_once_apply_each_migration_once(
    alembic: Config, database: DatabaseSettings, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        url = database.url.get_secret_value()
        replicas = [stack.enter_context(run_alembic("upgrade", "head", url=url, folder=tmp_path)) for _ in range(8)]
        assert [replica.exit_code() for replica in replicas] == [0] * 8
        said = "".join(replica.output for replica in replicas)
    assert re.findall(r"Running upgrade \S* -> (\w+)", said) == revisions(alembic)
    command.check(alembic)


@asynccontextmanager
async def lock_held(database: DatabaseSettings) -> AsyncIterator[None]:
    """Another migration is under way."""
    connection = await driver.connect(database.target, database)
    try:
        await driver.begin(connection, "READ COMMITTED")
        assert await driver.scalar(connection, driver.MIGRATION_LOCK) == 1
        yield
    finally:
        await driver.close(connection)


async def test_who_finds_nothing_to_do_does_not_wait_for_the_lock(alembic: Config, database: DatabaseSettings) -> None:
    await asyncio.to_thread(command.upgrade, alembic, "head")
    async with lock_held(database):
        upgrade = asyncio.create_task(asyncio.to_thread(command.upgrade, alembic, "head"))
        done, _ = await asyncio.wait({upgrade}, timeout=10)
    await upgrade
    assert done


async def test_who_finds_something_to_do_says_that_it_waits_for_the_lock(
    alembic: Config, database: DatabaseSettings, caplog: pytest.LogCaptureFixture
) -> None:
    if not revisions(alembic):
        pytest.skip("there is no migration")
    caplog.set_level(logging.INFO)
    async with lock_held(database):
        upgrade = asyncio.create_task(asyncio.to_thread(command.upgrade, alembic, "head"))
        while "Another migration is under way" not in caplog.text and not upgrade.done():
            await asyncio.sleep(0.01)
        waited = not upgrade.done()
    await upgrade
    assert waited


async def test_who_only_looks_does_not_wait_for_the_lock(alembic: Config, database: DatabaseSettings) -> None:
    async with lock_held(database):
        await asyncio.to_thread(command.current, alembic)
        await asyncio.to_thread(command.upgrade, alembic, "head", sql=True)


@pytest.mark.parametrize("arguments", [("upgrade", "head"), ("current",)])
def test_a_password_with_any_character_reaches_the_driver_and_nobody_else(
    arguments: tuple[str, ...], database: DatabaseSettings, tmp_path: Path
) -> None:
    with reserved_port() as port:
        url = by_way_of(database.url, port).get_secret_value()
        hostile = replaced(url, "userinfo", f"ada:{PASSWORD}")
        with run_alembic(*arguments, url=hostile, folder=tmp_path, DATABASE_STARTUP_TIMEOUT="0") as process:
            assert process.exit_code() == 1
            assert process.output.startswith("The database server cannot be reached: 127.0.0.1:")
            assert len(process.output.splitlines()) == 1
            assert PASSWORD not in process.output
            assert unquote(PASSWORD) not in process.output


def test_a_setting_that_cannot_be_used_ends_the_command_with_one_sentence(tmp_path: Path) -> None:
    with run_alembic("upgrade", "head", url="sqlite:///orders", folder=tmp_path) as process:
        assert process.exit_code() == 1
        (line,) = process.output.splitlines()
        assert line.startswith("DATABASE_URL cannot be used: ")


def printed_as_sql(database: DatabaseSettings) -> dict[str, str]:
    """Each migration by itself, but for those that cannot be: which read rows, or what tables there are, or merge."""
    found: dict[str, str] = {}
    for script in ScriptDirectory.from_config(configuration(ROOT / "migrations", database)).walk_revisions():
        output = StringIO()
        config = configuration(ROOT / "migrations", database, output)
        with suppress(AttributeError, TypeError, CompileError, InvalidRequestError, CommandError):
            command.upgrade(config, f"{script.down_revision or 'base'}:{script.revision}", sql=True)
            found[script.revision] = output.getvalue()
    return found


def test_offline_mode_prints_the_sql_of_each_migration(database: DatabaseSettings) -> None:
    for revision, sql in printed_as_sql(database).items():
        assert re.findall(r"^-- Running upgrade \S* -> (\w+)", sql, re.MULTILINE) == [revision]
        assert re.search(rf"alembic_version.*{revision}", sql), "it records what it did"
    assert tables(database) == set()


def test_a_migration_is_one_statement_where_a_transaction_does_not_hold_several(database: DatabaseSettings) -> None:
    if DefaultImpl.get_by_dialect(make_url(f"{driver.DIALECT}://").get_dialect()()).transactional_ddl:
        pytest.skip("this server undoes a migration that fails half-way")
    for revision, sql in printed_as_sql(database).items():
        of_rows = re.findall(r"^(?:INSERT|UPDATE|DELETE|REPLACE)\b(?!.*\balembic_version\b)", sql, re.MULTILINE)
        of_tables = re.findall(r"^(?:CREATE|ALTER|DROP|RENAME|TRUNCATE)\b(?!.*\balembic_version\b)", sql, re.MULTILINE)
        assert len(of_tables) + bool(of_rows) <= 1, (
            f"{revision}: if it fails half-way it cannot be run again; make it several migrations"
        )
