"""Migrations on PostgreSQL: types and partitions beside the tables, no time limits, and what squawk says of them."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ARRAY, BigInteger, Column, Enum, MetaData, Numeric, Table, TypeDecorator
from sqlalchemy.dialects.postgresql import DOMAIN, INET
from sqlalchemy.types import TypeEngine

from app import models
from app.database import driver
from app.database import metadata as service_metadata
from app.settings import DatabaseSettings
from migrations import lint as migrations_lint
from tests.processes import Process, prepare
from tests.template.migrating import ROOT, Scripts, empty_database

prepare()

LIMITS = ("statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Alembic reads its scripts inside the loop that serves nothing but the migration."""


@pytest.fixture
def database(worker_id: str) -> Iterator[DatabaseSettings]:
    with empty_database(f"{worker_id}_here") as database:
        yield database


@pytest.fixture
def scripts(database: DatabaseSettings, tmp_path: Path) -> Scripts:
    return Scripts(tmp_path, database)


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> MetaData:
    """What app/models.py declares, here nothing yet."""
    metadata = MetaData(naming_convention=service_metadata.naming_convention)
    monkeypatch.setattr(models, "metadata", metadata)
    return metadata


def ask(database: DatabaseSettings, *statements: str) -> Any:
    """The value of the last one."""

    async def run() -> Any:
        connection = await driver.connect(database.target, database, read_only=False)
        try:
            return [await driver.scalar(connection, statement) for statement in statements][-1]
        finally:
            await driver.close(connection)

    return asyncio.run(run())


def decorated(impl: TypeEngine[Any]) -> TypeDecorator[Any]:
    class Team(TypeDecorator[Any]):
        cache_ok = True

    Team.impl = impl
    return Team()


def state(name: str) -> Enum:
    return Enum("new", "it's: paid", name=name)


def amount(name: str) -> DOMAIN:
    return DOMAIN(name, Numeric(9, 2), check="VALUE > 0")


OF_THEIR_OWN: dict[str, TypeEngine[Any]] = {
    "State": state("State"),
    "array": ARRAY(state("array"), dimensions=2),
    "decorated": decorated(state("decorated")),
    "decorated_twice": decorated(decorated(state("decorated_twice"))),
    "decorated_in_array": ARRAY(decorated(state("decorated_in_array"))),
    "decorated_array": decorated(ARRAY(state("decorated_array"))),
    "domain": amount("domain"),
    "array_of_domain": ARRAY(amount("array_of_domain")),
    "decorated_domain": decorated(amount("decorated_domain")),
    "domain_of_inet": DOMAIN("domain_of_inet", INET()),  # a type that is PostgreSQL's own
}
NAMES = sorted(OF_THEIR_OWN)


def test_a_type_comes_and_goes_with_its_first_column(
    scripts: Scripts, metadata: MetaData, database: DatabaseSettings
) -> None:
    def types() -> list[str]:
        return str(ask(database, "SELECT string_agg(typname, ' ') FROM pg_type WHERE typtype IN ('e', 'd')")).split()

    orders = Table("orders", metadata, Column("id", BigInteger, primary_key=True))
    domains = types()  # the server's own
    for name, type_ in OF_THEIR_OWN.items():
        orders.append_column(Column(f"first_{name}", type_))
    first = "".join(scripts.generate("orders"))
    assert first.count("CREATE TYPE") + first.count("CREATE DOMAIN") == len(NAMES)
    scripts.upgrade()
    scripts.check()
    assert sorted({*types()} - {*domains}) == NAMES
    for name, type_ in OF_THEIR_OWN.items():
        orders.append_column(Column(f"second_{name}", type_))
    orders.append_column(Column("colour", decorated(Enum("red", name="colour"))))
    second = "".join(scripts.generate("colour"))
    assert second.count("CREATE ") == 1
    scripts.upgrade()
    scripts.check()
    assert sorted({*types()} - {*domains}) == sorted([*NAMES, "colour"])
    scripts.downgrade(scripts.revisions()[0])
    assert sorted({*types()} - {*domains}) == NAMES
    scripts.downgrade()
    assert sorted(types()) == sorted(domains)
    scripts.upgrade()


def test_partitions_are_not_dropped(scripts: Scripts, metadata: MetaData, database: DatabaseSettings) -> None:
    Table("orders", metadata, Column("id", BigInteger, primary_key=True), postgresql_partition_by="RANGE (id)")
    old = Table("old", metadata, Column("id", BigInteger, primary_key=True))
    scripts.generate("orders")
    scripts.upgrade()
    ask(
        database,
        "CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (1) TO (9)",
        "ALTER TABLE orders ATTACH PARTITION old FOR VALUES FROM (10) TO (19)",
    )
    metadata.remove(old)  # which a migration made, and which is a partition now
    scripts.check()


@pytest.mark.usefixtures("no_pooler")  # behind which what runs outside of a transaction keeps the server's
def test_no_limit_of_the_server_holds_for_a_migration(scripts: Scripts, database: DatabaseSettings) -> None:
    known = [name for name in LIMITS if ask(database, f"SELECT 1 FROM pg_settings WHERE name = '{name}'")]
    for name in (*known, "lock_timeout"):
        ask(database, f'ALTER DATABASE "{database.target.database}" SET {name} = 100000')
    seen = "SELECT name, setting FROM pg_settings WHERE name LIKE '%timeout'"
    scripts.write("first", f'op.execute("CREATE TABLE seen AS {seen}"), op.execute("SELECT pg_sleep(0)")')
    concurrently = 'op.execute("CREATE INDEX CONCURRENTLY names ON seen (name)")'
    block = f'with op.get_context().autocommit_block(): op.execute("INSERT INTO seen {seen}"), {concurrently}'
    scripts.write("second", block, after="first")
    scripts.write("third", f'op.execute("INSERT INTO seen {seen}")', after="second")
    scripts.upgrade()
    wrong = "SELECT count(*) FROM seen WHERE name = ANY (string_to_array('{}', ' ')) AND setting <> '0'"
    assert ask(database, wrong.format(" ".join(known))) == 0
    locks = "SELECT string_agg(setting, ' ') FROM seen WHERE name = 'lock_timeout'"
    assert ask(database, locks) == "1000 0 1000"  # nobody waits behind an index that is made concurrently


def test_an_index_that_is_made_concurrently_waits_for_others_as_long_as_it_takes(
    scripts: Scripts, database: DatabaseSettings
) -> None:
    scripts.write("first", 'op.execute("CREATE TABLE orders (id int)")')
    index = 'op.create_index("ix", "orders", ["id"], postgresql_concurrently=True)'
    scripts.write("second", f"with op.get_context().autocommit_block(): {index}", after="first")
    scripts.upgrade("first")

    async def while_the_table_is_written() -> None:
        writer = await driver.connect(database.target, database, read_only=False)
        observer = await driver.connect(database.target, database, read_only=False)
        await driver.begin(writer, "READ COMMITTED")
        await driver.scalar(writer, "INSERT INTO orders VALUES (1)")
        upgrade = asyncio.create_task(asyncio.to_thread(scripts.upgrade))
        waited = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%'"
        longer = f"{waited} AND clock_timestamp() - query_start > interval '1.5 s'"  # than a lock may take
        while not await driver.scalar(observer, longer) and not upgrade.done():
            await asyncio.sleep(0.05)
        assert not upgrade.done()
        await driver.rollback(writer)
        await upgrade
        await driver.close(writer)
        await driver.close(observer)

    asyncio.run(while_the_table_is_written())
    assert ask(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix'::regclass")


async def test_two_that_migrate_at_once_take_turns_also_when_one_has_an_autocommit_block(
    scripts: Scripts, database: DatabaseSettings
) -> None:
    """An index that is made concurrently waits for the writer, and not for who waits for its end."""
    scripts.write("first", 'op.execute("CREATE TABLE counted AS SELECT 0 AS n")')
    steps = 'op.execute("UPDATE counted SET n = n + 1"), op.execute("CREATE INDEX CONCURRENTLY ON counted (n)")'
    scripts.write("second", f"with op.get_context().autocommit_block(): {steps}", after="first")
    await asyncio.to_thread(scripts.upgrade, "first")
    folder = scripts.folder.parent
    shutil.copy(ROOT / "alembic.ini", folder)
    given = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("DATABASE_")}
    environment = {**given, "DATABASE_URL": database.url.get_secret_value()}
    command = ("alembic", "upgrade", "head")
    server = await driver.connect(database.target, database, read_only=False)
    writer = await driver.connect(database.target, database, read_only=False)
    await driver.begin(writer, "READ COMMITTED")
    await driver.scalar(writer, "INSERT INTO counted VALUES (-1)")
    with Process(*command, folder=folder, environment=environment) as one:
        one.says("Running upgrade first -> second")
        while not await driver.scalar(server, "SELECT sum(n) FROM counted"):
            await asyncio.sleep(0.01)
        with Process(*command, folder=folder, environment=environment) as other:
            other.says("Another migration is under way")
            await driver.rollback(writer)
            assert (one.exit_code(), other.exit_code()) == (0, 0)
    assert await driver.scalar(server, "SELECT n FROM counted") == 1
    await driver.close(writer)
    await driver.close(server)


@pytest.mark.parametrize(
    "index",
    [
        'op.create_index("ix", "orders", ["id"], unique=True, postgresql_concurrently=True)',
        r"op.execute('-- of orders\n create unique /* ! */ index concurrently ix ON orders (id)')",
    ],
    ids=["operation", "text"],
)
def test_an_index_that_was_not_finished_is_told_and_not_taken_for_one(
    scripts: Scripts, database: DatabaseSettings, index: str
) -> None:
    scripts.write("first", 'op.execute("CREATE TABLE orders AS SELECT 1 AS id FROM generate_series(1, 2)")')
    scripts.write("second", f"with op.get_context().autocommit_block(): {index}", after="first")
    for _ in range(2):
        with pytest.raises(SystemExit, match=r"^Migration second did not finish its index \("):
            scripts.upgrade()
    ask(database, "DROP INDEX ix")
    ask(database, "DELETE FROM orders WHERE ctid = '(0,1)'")
    scripts.upgrade()
    assert ask(database, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix'::regclass")


def test_a_type_that_is_there_with_other_words_is_not_taken_for_the_one_of_the_code(
    scripts: Scripts, metadata: MetaData
) -> None:
    table = Table("orders", metadata, Column("state", Enum("new", "paid", name="state")))
    scripts.generate("orders")
    scripts.upgrade()
    metadata.remove(table)
    Table("orders", metadata, Column("condition", Enum("open", "sent", name="state")))
    with pytest.raises(SystemExit, match="type state of column condition is there with the words new, paid, and not"):
        scripts.generate("another")


@pytest.fixture
def lint(scripts: Scripts, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What `make check` says of them; nothing when it is content."""
    shutil.copy(ROOT / "alembic.ini", scripts.folder.parent)
    monkeypatch.chdir(scripts.folder.parent)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")

    def run() -> str:
        capfd.readouterr()
        code = migrations_lint.main()
        said = capfd.readouterr().out
        return said if code else ""

    return run


def test_a_new_migration_that_would_lock_a_table_for_long_fails_the_check(
    scripts: Scripts, metadata: MetaData, lint: Callable[[], str]
) -> None:
    orders = Table("orders", metadata, Column("id", BigInteger, primary_key=True), Column("code", BigInteger))
    scripts.generate("orders")
    assert lint() == ""
    scripts.upgrade()
    orders.append_column(Column("note", BigInteger, index=True))
    scripts.generate("note")
    assert "require-concurrent-index-creation" in lint()
    path = next(path for path in (scripts.folder / "versions").glob("*_note.py"))
    text, mark = path.read_text(), "squawk_ignore: tuple[str, ...] = ()"
    path.write_text(text.replace(mark, "squawk_ignore = ('require-concurrent-index-creation',)"))
    assert lint() == ""
    path.write_text(text.replace(mark, ""))  # one from before there was a check
    assert lint() == ""


def test_a_migration_that_reads_rows_is_left_out_of_the_check(scripts: Scripts, lint: Callable[[], str]) -> None:
    path = scripts.write("first", 'op.get_bind().execute(sa.text("SELECT 1")).all()')
    path.write_text(f"{path.read_text()}\n\nsquawk_ignore = ()\n")
    assert lint() == ""
