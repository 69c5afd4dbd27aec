"""`make shell` and `make seed`: units of work like all others, whose errors are told in a sentence."""

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import Table

from app.database import Session, UniqueViolation, driver
from app.models import metadata
from app.settings import DatabaseSettings
from dev import seeding
from dev.__main__ import main
from dev.launcher import free_port
from dev.shell import Shell
from tests.template.migrating import empty_database


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """A prompt reads and prints while nothing is served."""


@pytest.fixture
def database(worker_id: str) -> Iterator[DatabaseSettings]:
    with empty_database(f"{worker_id}_development") as database:
        execute(database, "CREATE TABLE orders (id int PRIMARY KEY)")
        yield database


@pytest.fixture
def shell(database: DatabaseSettings) -> Iterator[Shell]:
    shell = Shell(database)
    yield shell
    shell.close()


def execute(database: DatabaseSettings, statement: str) -> int:
    async def run() -> int:
        connection = await driver.connect(database.target, database, read_only=False)
        try:
            return int(await driver.scalar(connection, statement) or 0)
        finally:
            await driver.close(connection)

    return asyncio.run(run())


def count(database: DatabaseSettings) -> int:
    return execute(database, "SELECT COUNT(*) FROM orders")


def entered(shell: Shell, line: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What the input prints, and what it says of an error."""
    assert not shell.push(line), "it is complete"
    return capsys.readouterr()


def test_what_is_typed_at_the_prompt_is_awaited_and_shown(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert entered(shell, 'await session.fetch_val("SELECT 40 + 2")', capsys) == ("42\n", "")
    assert entered(shell, "found = _ + 1", capsys) == ("", "")
    assert entered(shell, "found", capsys) == ("43\n", "")


def test_each_input_is_committed_or_undone_by_itself(
    shell: Shell, database: DatabaseSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    entered(shell, 'await session.affected("INSERT INTO orders VALUES (1)")', capsys)
    assert count(database) == 1
    _, said = entered(shell, 'await session.affected("INSERT INTO orders VALUES (2)"); 1 / 0', capsys)
    assert "ZeroDivisionError" in said
    assert count(database) == 1
    printed, said = entered(shell, 'await session.affected("INSERT INTO orders VALUES (1)")', capsys)
    assert (printed, said.splitlines()[1:]) == ("", [])
    assert said.startswith("UniqueViolation: A row with these values is already there (")
    for line in ("async def work(session):", "    return await session.fetch_val('SELECT MAX(id) FROM orders')", ""):
        shell.push(line)
    assert entered(shell, "await database.run_transaction(work)", capsys) == ("1\n", "")


def test_the_prompt_knows_every_table_that_the_service_declares(shell: Shell) -> None:
    known = [getattr(value, "__table__", value) for value in shell.locals.values()]
    assert {table for table in known if isinstance(table, Table)} >= set(metadata.tables.values())


def test_exit_ends_the_shell(shell: Shell) -> None:
    with pytest.raises(SystemExit):
        shell.push("raise SystemExit")


def test_what_is_seeded_is_stored_as_a_whole_or_not_at_all(database: DatabaseSettings) -> None:
    async def seed(session: Session) -> None:
        for id in (1, 2):
            await session.affected("INSERT INTO orders VALUES (:id)", {"id": id})

    async def half(session: Session) -> None:
        for id in (3, 1):
            await session.affected("INSERT INTO orders VALUES (:id)", {"id": id})

    asyncio.run(seeding.run(seed, database))
    assert count(database) == 2
    with pytest.raises(UniqueViolation):
        asyncio.run(seeding.run(half, database))
    assert count(database) == 2


def test_a_command_that_is_interrupted_has_not_done_what_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(module: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dev.__main__.database", nullcontext)
    monkeypatch.setattr("dev.__main__.run_here", interrupted)
    monkeypatch.setattr("sys.argv", ["dev", "alembic", "upgrade", "head"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert main() == 130


def test_a_port_that_was_written_to_a_full_disk_is_chosen_anew(tmp_path: Path) -> None:
    kept = tmp_path / "port"
    first = free_port(kept)
    kept.write_text("")
    assert free_port(kept) == first == int(kept.read_text())
