"""Migrations on MySQL and MariaDB: one DDL statement each, without the server's time limits."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Column, ForeignKey, Index, MetaData, String, Table, UniqueConstraint

from app import models
from app.database import driver
from app.database import metadata as service_metadata
from app.settings import DatabaseSettings
from migrations import lock
from tests import facts
from tests.template.migrating import Scripts, empty_database
from tests.template.test_stopped_migrations import connected, sentence

LIMITS = {"max_execution_time": "3600000", "max_statement_time": "3600", "idle_transaction_timeout": "3600"}


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


def test_each_migration_is_one_statement_with_the_foreign_keys_last(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = MetaData(naming_convention=service_metadata.naming_convention)
    monkeypatch.setattr(models, "metadata", metadata)
    Table("orders", metadata, Column("id", BigInteger, primary_key=True))
    order: Column[int] = Column("order_id", ForeignKey("orders.id"), index=True)
    Table("lines", metadata, Column("id", BigInteger, primary_key=True), order)
    texts = scripts.generate("add orders")
    assert [re.findall(r"op\.(\w\w+)\(", text) for text in texts] == [
        ["create_table", "drop_table"],
        ["create_table", "drop_table"],
        ["create_index", "drop_index"],
        ["create_foreign_key", "drop_constraint"],
    ]
    first = scripts.revisions()[0].removesuffix("_1")
    assert scripts.revisions() == [f"{first}_{number}" for number in (1, 2, 3, 4)]


NAMES = """SELECT GROUP_CONCAT(DISTINCT index_name ORDER BY index_name) FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND table_name = 'lines'"""
INDEXES: dict[str, Callable[[Table], object]] = {
    "another": lambda t: Index("ix_lines_order_id_note", t.c.order_id, t.c.note),
    "unique": lambda t: UniqueConstraint(t.c.order_id, t.c.id, name="uq_lines_order_id"),
    "its column gone": lambda t: Index("ix_lines_order_id", t.c.order_id),
}


@pytest.mark.parametrize("new", INDEXES)
def test_an_index_that_a_foreign_key_needs_is_replaced_and_comes_back(
    scripts: Scripts, database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch, new: str
) -> None:
    def declare(of_lines: Callable[[Table], object], *columns: str) -> None:
        metadata = MetaData(naming_convention=service_metadata.naming_convention)
        monkeypatch.setattr(models, "metadata", metadata)
        Table("orders", metadata, Column("id", BigInteger, primary_key=True))
        key: Column[int] = Column("order_id", ForeignKey("orders.id"))
        others = [Column(name, String(20)) for name in columns]
        of_lines(Table("lines", metadata, Column("id", BigInteger, primary_key=True), key, *others))

    declare(lambda t: Index("ix_lines_order_id_code", t.c.order_id, t.c.code), "code", "note")
    scripts.generate("add orders")
    scripts.upgrade()
    before, indexes = scripts.current(), asyncio.run(_ask(database, NAMES))
    declare(INDEXES[new], "note", *[] if new == "its column gone" else ["code"])
    scripts.generate("another index")
    for _ in range(2):
        scripts.upgrade()
        scripts.check()
        scripts.downgrade(before)
        assert asyncio.run(_ask(database, NAMES)) == indexes


def test_an_index_that_a_foreign_key_needs_is_not_made_anew_by_its_name(
    scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in (["order_id", "code"], ["order_id", "note"]):
        metadata = MetaData(naming_convention=service_metadata.naming_convention)
        monkeypatch.setattr(models, "metadata", metadata)
        Table("orders", metadata, Column("id", BigInteger, primary_key=True))
        texts = [Column(name, String(20)) for name in ("code", "note")]
        key: Column[int] = Column("order_id", ForeignKey("orders.id"))
        Table("lines", metadata, Column("id", BigInteger, primary_key=True), key, *texts, Index("ix_lines", *columns))
        if columns[1] == "code":
            scripts.generate("add orders")
            scripts.upgrade()
    known = scripts.revisions()
    with pytest.raises(SystemExit, match=r"^The foreign key fk_lines\S* needs the index ix_lines until another one"):
        scripts.generate("another index")
    assert scripts.revisions() == known


def test_a_migration_of_several_statements_that_fails_says_how_many_are_there(scripts: Scripts) -> None:
    two = 'op.execute("CREATE TABLE orders (id int)"), op.execute("ALTER TABLE missing ADD COLUMN note int")'
    scripts.write("first", two)
    with pytest.raises(SystemExit, match=r"^Migration first stopped half-way \(.*missing.*\): 1 of its statements"):
        scripts.upgrade()
    scripts.stamp("first")  # the rest was done by hand
    scripts.upgrade()


def test_rows_of_a_migration_that_fails_are_undone(scripts: Scripts, database: DatabaseSettings) -> None:
    scripts.write("first", 'op.execute("CREATE TABLE orders (id int)")')
    scripts.write("second", 'op.execute("INSERT INTO orders VALUES (1)"), op.execute("nonsense")', after="first")
    with pytest.raises(Exception, match="nonsense"):
        scripts.upgrade()
    assert asyncio.run(_ask(database, "SELECT COUNT(*) FROM orders")) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "ANALYZE TABLE counted",
        "/* a */ GRANT SELECT ON counted TO CURRENT_USER()",
        "CALL analysing()",
        "FLUSH TABLES counted",
    ],
)
async def test_rows_before_what_commits_by_itself_are_not_written_twice(
    scripts: Scripts, database: DatabaseSettings, statement: str
) -> None:
    def written() -> None:
        scripts.write("first", 'op.execute("CREATE TABLE orders (id int)")')
        scripts.write("second", 'op.execute("CREATE TABLE counted (id int)")', after="first")
        scripts.write("third", 'op.execute("CREATE PROCEDURE analysing() ANALYZE TABLE counted")', after="second")
        scripts.upgrade()
        statements = ["INSERT INTO counted VALUES (1)", statement, "UPDATE orders SET id = 2"]
        scripts.write("fourth", "\n    ".join(f"op.execute({each!r})" for each in statements), after="third")

    await asyncio.to_thread(written)
    async with connected(database) as connection:
        await driver.scalar(connection, "INSERT INTO orders VALUES (1)")
        await driver.scalar(connection, "START TRANSACTION")
        await driver.scalar(connection, "SELECT id FROM orders FOR UPDATE")
        said = await asyncio.to_thread(sentence, scripts)
        await driver.rollback(connection)
        assert said.startswith("Migration fourth stopped half-way")
        assert await driver.scalar(connection, "SELECT COUNT(*) FROM counted") == 1


def test_no_limit_of_the_server_holds_for_a_migration(scripts: Scripts, database: DatabaseSettings) -> None:
    known = [name for name in LIMITS if asyncio.run(_ask(database, f"SHOW VARIABLES LIKE '{name}'"))]
    read = ", '|', ".join(f"@@SESSION.{name}" for name in known)
    scripts.write("first", f'op.execute("CREATE TABLE seen AS SELECT CONCAT({read}) AS v")')
    before = {name: asyncio.run(_ask(database, f"SELECT @@GLOBAL.{name}")) for name in known}
    try:
        for name in known:  # an hour: other tests may run meanwhile
            asyncio.run(_ask(database, f"SET GLOBAL {name} = {LIMITS[name]}"))
        scripts.upgrade()
    finally:
        for name in known:
            asyncio.run(_ask(database, f"SET GLOBAL {name} = {before[name]}"))
    assert {float(v) for v in str(asyncio.run(_ask(database, "SELECT v FROM seen"))).split("|")} == {0}


def test_a_group_with_several_primaries_is_not_migrated(
    scripts: Scripts, database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts.write("first", 'op.execute("CREATE TABLE orders (id int)")')
    with monkeypatch.context() as patched, pytest.raises(SystemExit, match=r"several primaries.*switch_to_single"):
        patched.setattr(lock, "_SEVERAL_PRIMARIES", "SELECT 1")
        scripts.upgrade()
    assert scripts.current() == ""
    assert asyncio.run(_ask(database, "SHOW TABLES")) is None


async def test_on_a_cluster_a_migration_waits_for_the_row_that_another_one_has_inserted(
    scripts: Scripts, database: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one server, where a row is locked too; that Galera locks it on all nodes is shown by the template's trials."""
    monkeypatch.setattr(lock, "_GALERA", "SELECT 1")
    for name in ("_STREAMING", "_CAUSAL"):
        monkeypatch.setattr(lock, name, "DO 0")
    scripts.write("first", 'op.execute("CREATE TABLE orders (id int)")')
    other = await driver.connect(database.target, database, read_only=False)
    observer = await driver.connect(database.target, database)
    try:
        await driver.scalar(other, lock._TABLE)
        await driver.begin(other, "READ COMMITTED")
        await driver.scalar(other, lock._LOCK)
        upgrade = asyncio.create_task(asyncio.to_thread(scripts.upgrade))
        while not await facts.running(observer, lock._LOCK) and not upgrade.done():
            await asyncio.sleep(0.01)  # the server raises no event
        waited = not upgrade.done()
        await driver.rollback(other)
        await upgrade
        assert waited
        assert await driver.scalar(observer, lock._HAS_IT) == 0
        assert await driver.scalar(observer, "SELECT version_num FROM alembic_version") == "first"
    finally:
        await driver.close(other)
        await driver.close(observer)


async def _ask(database: DatabaseSettings, statement: str) -> object:
    connection = await driver.connect(database.target, database, read_only=False)
    try:
        return await driver.scalar(connection, statement)
    finally:
        await driver.close(connection)
