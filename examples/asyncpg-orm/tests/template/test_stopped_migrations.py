"""What stops a migration: it blocks nobody for long, says in one sentence what is wrong, and its way out leads out."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from alembic import command
from alembic.ddl.impl import DefaultImpl
from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from app.database import driver
from app.logs import JsonLines, log_end
from app.settings import DatabaseSettings
from dev import databases
from tests import facts
from tests.conftest import test_database_url
from tests.processes import Process, prepare
from tests.template.migrating import ROOT, Scripts, empty_database
from tests.urls import beside, replaced

prepare()

CREATE = 'op.create_table("orders", sa.Column("id", sa.Integer()))'
ADD = 'op.add_column("orders", sa.Column("note", sa.Integer()))'
DROP = 'op.drop_table("orders")'
REMOVE = 'op.drop_column("orders", "note")'
BLOCK = "with op.get_context().autocommit_block(): "
END = {"commit": "commits", "rollback": "rolls back"}
TRANSACTIONAL_DDL = DefaultImpl.get_by_dialect(make_url(f"{driver.DIALECT}://").get_dialect()()).transactional_ddl


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Alembic reads its scripts inside the loop that serves nothing but the migration."""


@pytest.fixture
def database(worker_id: str) -> Iterator[DatabaseSettings]:
    with empty_database(f"{worker_id}_stopped") as database:
        yield database


@pytest.fixture
def scripts(database: DatabaseSettings, tmp_path: Path) -> Scripts:
    scripts = Scripts(tmp_path, database)
    scripts.write("first", CREATE, DROP)
    scripts.write("second", ADD, REMOVE, after="first")
    return scripts


@asynccontextmanager
async def connected(database: DatabaseSettings) -> AsyncIterator[driver.RawConnection]:
    connection = await driver.connect(database.target, database, read_only=False)
    try:
        yield connection
    finally:
        await driver.close(connection)


@asynccontextmanager
async def table_in_use(database: DatabaseSettings) -> AsyncIterator[None]:
    """A transaction that has read the table goes on."""
    async with connected(database) as connection:
        await driver.begin(connection, "READ COMMITTED")
        await driver.scalar(connection, "SELECT COUNT(*) FROM orders")
        yield
        await driver.rollback(connection)


def execute(database: DatabaseSettings, statement: str) -> None:
    async def run() -> None:
        async with connected(database) as connection:
            await driver.scalar(connection, statement)

    asyncio.run(run())


def sentence(scripts: Scripts) -> str:
    """With which the upgrade ends."""
    with pytest.raises(SystemExit) as stopped:
        scripts.upgrade()
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


async def test_a_migration_that_waits_for_a_table_lets_those_behind_it_pass_and_gives_up(
    scripts: Scripts, database: DatabaseSettings
) -> None:
    await asyncio.to_thread(scripts.upgrade, "first")
    async with connected(database) as observer, connected(database) as later, table_in_use(database):
        upgrade = asyncio.create_task(asyncio.to_thread(sentence, scripts))
        while not await facts.running(observer, "ALTER TABLE orders") and not upgrade.done():
            await asyncio.sleep(0.01)  # the server raises no event
        await driver.scalar(later, "SELECT COUNT(*) FROM orders")  # waits behind it
        said = await upgrade
    assert said.startswith("The migration gave up after 2 attempts to get within 1 s a lock that another session holds")
    await asyncio.to_thread(scripts.upgrade)  # the way out: a quieter time
    assert await asyncio.to_thread(scripts.current) == "second"


def test_a_migration_is_attempted_once_at_least(scripts: Scripts) -> None:
    config = scripts.config
    config.set_main_option("lock_attempts", "0")
    command.upgrade(config, "head")
    assert scripts.current() == "second"


async def test_a_migration_that_did_not_get_a_lock_tries_again(
    scripts: Scripts, database: DatabaseSettings, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(scripts.upgrade, "first")
    async with table_in_use(database):
        upgrade = asyncio.create_task(asyncio.to_thread(scripts.upgrade))
        while "Attempt 1 of 2" not in caplog.text and not upgrade.done():
            await asyncio.sleep(0.01)
        assert not upgrade.done()
    await upgrade
    assert await asyncio.to_thread(scripts.current) == "second"


def test_a_migration_that_is_there_but_not_recorded_is_named_and_can_be_recorded(
    scripts: Scripts, database: DatabaseSettings
) -> None:
    scripts.upgrade("first")
    execute(database, "ALTER TABLE orders ADD COLUMN note int")  # and then the process was killed
    said = sentence(scripts)
    assert said.startswith("Migration second may be in the database already, in part or whole, but is not recorded")
    assert "`uv run python -m dev alembic stamp second`" in said
    scripts.stamp("second")
    scripts.upgrade()
    execute(database, "ALTER TABLE orders DROP COLUMN note")
    with pytest.raises(SystemExit, match="`uv run python -m dev alembic stamp first`"):
        scripts.downgrade("first")
    scripts.stamp("first")
    scripts.upgrade()
    scripts.downgrade()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ('op.execute("nonsense")', "nonsense"),
        ('op.add_column("odrers", sa.Column("x", sa.Integer()))', "odrers"),
        ("raise ValueError('bug')", "bug"),
    ],
)
def test_what_is_a_bug_of_the_migration_keeps_its_traceback(scripts: Scripts, statement: str, said: str) -> None:
    scripts.write("third", statement, after="second")
    with pytest.raises(Exception, match=said):
        scripts.upgrade()


def test_what_the_server_refuses_of_the_tables_is_said_with_its_statement_and_without_values(
    scripts: Scripts, database: DatabaseSettings, caplog: pytest.LogCaptureFixture
) -> None:
    third = scripts.write("third", 'op.add_column("odrers", sa.Column("x", sa.Integer()))', after="second")
    with pytest.raises(DBAPIError) as caught:
        scripts.upgrade()
    log_end(type(caught.value), caught.value, caught.value.__traceback__)
    shown = JsonLines().format(caplog.records[-1])
    assert re.search(r"odrers\W*(?:doesn't|does not) exist.*: ALTER TABLE odrers ADD", shown)
    third.unlink()
    scripts.write("fourth", 'op.create_unique_constraint("uq", "orders", ["note"])', after="second")
    scripts.upgrade("second")
    for number in (1, 2):
        execute(database, f"INSERT INTO orders (id, note) VALUES ({number}, 4711)")
    with pytest.raises(DBAPIError) as caught:
        scripts.upgrade()
    (note,) = caught.value.__notes__
    assert note.startswith("A row with these values is already there: ALTER TABLE orders ADD CONSTRAINT")
    assert "4711" not in note


@pytest.mark.parametrize(
    "change",
    [
        'op.add_column("orders", sa.Column("x", sa.Integer()))',
        r"op.execute('-- for the list\n ALTER TABLE orders ADD COLUMN x int')",
        "op.execute('/* for the list */ ALTER TABLE orders ADD COLUMN x int')",
    ],
    ids=["operation", "behind a comment", "behind another"],
)
@pytest.mark.parametrize("in_block", [False, True])
async def test_what_is_in_the_database_for_good_is_not_tried_again_and_is_told(
    scripts: Scripts, database: DatabaseSettings, in_block: bool, change: str
) -> None:
    """Rows before DDL that waits for a lock: where no transaction holds DDL, or after an autocommit block."""
    rows = f"{BLOCK if in_block else ''}op.execute('INSERT INTO counted VALUES (1)')"
    scripts.write("third", f"{rows}\n    {change}", after="second")
    await asyncio.to_thread(scripts.upgrade, "second")
    async with connected(database) as connection:
        await driver.scalar(connection, "CREATE TABLE counted (id int)")
    async with table_in_use(database):
        said = await asyncio.to_thread(sentence, scripts)
    async with connected(database) as connection:
        count = await driver.scalar(connection, "SELECT COUNT(*) FROM counted")
    if in_block or not TRANSACTIONAL_DDL:
        assert (count, said.partition(" (")[0]) == (1, "Migration third stopped half-way")
    else:
        assert (count, said.partition(" to get")[0]) == (0, "The migration gave up after 2 attempts")


def test_an_error_of_python_after_what_is_there_for_good_is_told_too(scripts: Scripts) -> None:
    scripts.write("third", f"{BLOCK}op.execute('CREATE TABLE made (id int)')\n    int('x')", after="second")
    assert sentence(scripts).startswith("Migration third stopped half-way (ValueError): 1 of its statements are in the")


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_migration_that_ends_its_transaction_is_recorded_or_refused(scripts: Scripts, end: str) -> None:
    scripts.write(
        "third", f"op.create_table('made', sa.Column('id', sa.Integer()))\n    op.get_bind().{end}()", after="second"
    )
    scripts.write("fourth", "pass", after="third")
    if TRANSACTIONAL_DDL:
        assert sentence(scripts).startswith(f"Migration third {END[end]} by itself, so nobody could record it")
        assert scripts.current() == ""
    else:
        scripts.upgrade()
        assert scripts.current() == "fourth"


def test_two_files_of_one_revision_and_one_that_is_too_long_are_refused_before_anything_runs(scripts: Scripts) -> None:
    long = scripts.write("a" * 33, "pass", after="second")
    assert "is longer than the 32 characters" in sentence(scripts)
    long.unlink()
    assert scripts.current() == ""
    (scripts.folder / "versions" / "copied.py").write_text((scripts.folder / "versions" / "second.py").read_text())
    with pytest.warns(UserWarning, match="second"):
        assert sentence(scripts).startswith("Several files have the revision second")


@pytest.mark.usefixtures("no_pooler")  # which lets in the users that it knows
async def test_a_user_who_may_change_no_tables_is_told_so(scripts: Scripts, database: DatabaseSettings) -> None:
    name = f"reader_{os.getpid()}"
    async with connected(database) as server:
        await facts.create_user(server, name, "s3cret")
        await facts.keep_tables(server, name)
        url = replaced(database.url.get_secret_value(), "userinfo", f"{name}:s3cret")
        scripts.database = database.model_copy(update={"url": SecretStr(url)})
        said = await asyncio.to_thread(sentence, scripts)
        await facts.drop_user(server, name)
    assert said.startswith("The database user may not do what the migration does (")


def test_a_database_that_other_code_has_migrated_is_named_and_that_code_leads_back(scripts: Scripts) -> None:
    path = scripts.folder / "versions" / "second.py"
    scripts.upgrade()
    there = path.rename(path.with_suffix(".elsewhere"))
    assert sentence(scripts).startswith("The database is at migration second, which this code does not know: ")
    there.rename(path)  # that code
    scripts.downgrade("first")
    path.unlink()
    scripts.upgrade()
    scripts.downgrade()


def test_two_newest_migrations_are_named_and_can_be_merged(scripts: Scripts) -> None:
    scripts.write("other", "pass", after="first")
    assert sentence(scripts).startswith("Several migrations are the newest one: other, second. Write")
    command.merge(scripts.config, "heads", "merge")
    scripts.upgrade()


def test_a_migration_that_follows_one_that_is_not_there_is_refused(scripts: Scripts) -> None:
    scripts.write("third", "pass", after="gone")
    with pytest.warns(UserWarning, match="gone"):
        assert "follows a migration that is not there" in sentence(scripts)


def test_the_command_says_the_sentence_without_a_traceback(database: DatabaseSettings, tmp_path: Path) -> None:
    execute(database, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    execute(database, "INSERT INTO alembic_version VALUES ('elsewhere')")
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database.url.get_secret_value()}
    arguments = ("alembic", "-c", str(ROOT / "alembic.ini"), "upgrade", "head")
    with Process(*arguments, folder=tmp_path, environment=environment) as process:
        assert process.exit_code() == 1
        assert process.output.splitlines()[-1].startswith("The database is at migration elsewhere, which this code")
        assert "Traceback" not in process.output


def test_the_tests_say_the_sentence_without_a_traceback(database: DatabaseSettings, tmp_path: Path) -> None:
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    scripts = Scripts(tmp_path, database)
    scripts.write("one", "pass")
    scripts.write("two", "pass")
    (tmp_path / "test_any.py").write_text("def test_any(settings: object) -> None:\n    pass\n")
    url = beside(os.environ["DATABASE_URL"], f"inner_{os.getpid()}")
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url}
    arguments = ("pytest", "-q", "-n0", "-p", "no:cacheprovider", "-p", "tests.conftest", "test_any.py")
    try:
        with Process(*arguments, folder=tmp_path, environment=environment) as process:
            assert process.exit_code() == 1, process.output
            assert "Several migrations are the newest one: one, two. Write" in process.output
            assert "Traceback" not in process.output
    finally:
        asyncio.run(databases.drop(test_database_url(url, "master")))
