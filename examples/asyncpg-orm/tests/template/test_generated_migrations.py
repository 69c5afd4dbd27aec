"""What `make migration` writes: it runs, forth and back and forth again, and leaves alone what is not the service's."""

import ast
import asyncio
import sys
from argparse import Namespace
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.operations.ops import MigrationScript
from sqlalchemy import BigInteger, Column, Enum, ForeignKey, Integer, MetaData, String, Table
from sqlalchemy.types import TypeDecorator

from app import models
from app.database import UtcDateTime, driver
from app.database import metadata as service_metadata
from app.settings import DatabaseSettings
from dev import databases
from tests.template.migrating import Scripts, empty_database
from tests.urls import beside


class Celsius(TypeDecorator[int]):
    """A team's own type."""

    impl = Integer
    cache_ok = True


@pytest.fixture(autouse=True)
def no_blocking_calls() -> None:
    """Alembic reads its scripts inside the loop that serves nothing but the migration."""


@pytest.fixture
def database(worker_id: str) -> Iterator[DatabaseSettings]:
    with empty_database(f"{worker_id}_generated") as database:
        yield database


@pytest.fixture
def scripts(database: DatabaseSettings, tmp_path: Path, metadata: MetaData) -> Scripts:
    return Scripts(tmp_path, database)


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> MetaData:
    """What app/models.py declares, here nothing yet."""
    metadata = MetaData(naming_convention=service_metadata.naming_convention)
    monkeypatch.setattr(models, "metadata", metadata)
    return metadata


def run(database: DatabaseSettings, *statements: str) -> Any:
    """The value of the last one."""

    async def ask() -> Any:
        connection = await driver.connect(database.target, database, read_only=False)
        try:
            return [await driver.scalar(connection, statement) for statement in statements][-1]
        finally:
            await driver.close(connection)

    return asyncio.run(ask())


def orders(metadata: MetaData, *more: Any, schema: str | None = None) -> Table:
    return Table("orders", metadata, Column("id", BigInteger, primary_key=True), *more, schema=schema)


def there_and_back(scripts: Scripts) -> None:
    """Forth, back by all that are new, and forth again."""
    before = scripts.revisions()
    scripts.generate("change")
    scripts.upgrade()
    scripts.check()
    scripts.downgrade(before[-1] if before else "base")
    scripts.upgrade()
    scripts.check()


def test_a_migration_of_nothing_is_refused_and_the_place_to_look_at_is_named(scripts: Scripts) -> None:
    with pytest.raises(SystemExit, match=r"^There is nothing to migrate: .*app/models\.py"):
        scripts.generate("nothing")
    assert scripts.revisions() == []


def test_a_migration_without_a_name_is_refused_before_it_is_written(scripts: Scripts, metadata: MetaData) -> None:
    orders(metadata)
    config = scripts.config
    config.cmd_opts = Namespace(autogenerate=True)  # alembic revision --autogenerate
    with pytest.raises(SystemExit, match=r'^Say what the migration does: -m "add orders"'):
        command.revision(config, autogenerate=True)
    assert scripts.revisions() == []


def test_the_types_of_any_module_are_imported(
    scripts: Scripts, metadata: MetaData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "somebodys_types.py").write_text(
        "from sqlalchemy import String\n\n\nclass Postcode(String):\n    cache_ok = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "somebodys_types", raising=False)
    import somebodys_types  # type: ignore[import-not-found]  # it was made a moment ago

    orders(
        metadata,
        Column("at", UtcDateTime),
        Column("warmth", Celsius().with_variant(BigInteger(), "sqlite")),
        Column("place", somebodys_types.Postcode(10)),
    )
    text = "".join(scripts.generate("types"))
    for module in ("app.database.types", Celsius.__module__, "somebodys_types"):
        assert f"import {module}\n" in text
    scripts.upgrade()
    scripts.check()


def test_tables_with_keys_indexes_and_enums_come_and_go_and_come_again(scripts: Scripts, metadata: MetaData) -> None:
    orders(metadata, Column("state", Enum("new", "paid", name="state")), Column("code", String(9), unique=True))
    for name in ("lines", "parcels"):
        Table(
            name,
            metadata,
            Column("id", BigInteger, primary_key=True),
            Column("order_id", ForeignKey("orders.id", ondelete="CASCADE"), index=True),
            Column("state", Enum("new", "paid", name="state", metadata=metadata)),
        )
    there_and_back(scripts)
    metadata.remove(metadata.tables["lines"])
    there_and_back(scripts)  # of a table that goes
    parcels = metadata.tables["parcels"]
    parcels.append_column(Column("line_id", ForeignKey("orders.id"), index=True))
    parcels.append_column(Column("colour", Enum("red", "it's: blue", name="colour")))
    there_and_back(scripts)  # of columns
    scripts.downgrade()
    scripts.upgrade()
    scripts.check()


def test_tables_that_refer_to_one_another_come_and_go(scripts: Scripts, metadata: MetaData) -> None:
    orders(metadata)
    there_and_back(scripts)
    for name, other in (("people", "departments"), ("departments", "people")):
        key = ForeignKey(f"{other}.id", use_alter=name == "people")
        Table(name, metadata, Column("id", BigInteger, primary_key=True), Column("other_id", key))
    there_and_back(scripts)
    for name in ("people", "departments"):
        metadata.remove(metadata.tables[name])
    there_and_back(scripts)


def test_what_is_printed_as_sql_has_the_texts_as_they_are(scripts: Scripts) -> None:
    """A client runs it, which makes no % of two."""
    table = 'sa.table("discounts", sa.column("name", sa.String))'
    scripts.write(
        "first",
        'op.create_table("discounts", sa.Column("name", sa.String(20), server_default="100% off")), '
        f'op.bulk_insert({table}, [{{"name": "50% %s"}}]), op.execute("UPDATE discounts SET name = \'5 %\'")',
    )
    config = scripts.config
    config.output_buffer = StringIO()
    command.upgrade(config, "head", sql=True)
    printed = config.output_buffer.getvalue()
    for text in ("'100% off'", "'50% %s'", "'5 %'"):
        assert text in printed


@pytest.mark.parametrize("message", ['say "hi"', 'ends with "', r"\d of `id`", "'''"])
def test_a_message_may_have_any_characters(scripts: Scripts, metadata: MetaData, message: str) -> None:
    orders(metadata)
    (text,) = scripts.generate(message)
    assert str(ast.get_docstring(ast.parse(text))).startswith(message)


def test_tables_of_others_are_not_dropped_and_those_of_earlier_migrations_are(
    scripts: Scripts, metadata: MetaData, database: DatabaseSettings
) -> None:
    run(database, "CREATE TABLE jobs (id int)")
    orders(metadata)
    Table("legacy", metadata, Column("id", BigInteger, primary_key=True))
    first = "".join(scripts.generate("orders"))
    assert "jobs" not in first
    scripts.upgrade()
    scripts.check()
    metadata.remove(metadata.tables["legacy"])
    second = "".join(scripts.generate("no legacy"))
    assert "op.drop_table('legacy')" in second
    assert "jobs" not in second
    scripts.upgrade()
    run(database, "SELECT count(*) FROM jobs")


def test_tables_of_another_schema_are_seen_and_those_of_others_in_it_are_not(
    scripts: Scripts, metadata: MetaData, database: DatabaseSettings
) -> None:
    schema = f"{database.target.database}_more".replace("-", "_")
    url = beside(database.url.get_secret_value(), schema)
    asyncio.run(databases.create(url))  # on MySQL the schema itself
    try:
        orders(metadata, schema=schema)
        orders(metadata)
        scripts.generate("orders")
        scripts.upgrade()
        run(database, f"CREATE TABLE {schema}.jobs (id int)")
        scripts.check()
        run(database, f"DROP TABLE {schema}.jobs")
        metadata.tables[f"{schema}.orders"].append_column(Column("code", Integer))
        there_and_back(scripts)
        scripts.downgrade()
        scripts.upgrade()
        scripts.check()
    finally:
        asyncio.run(databases.drop(url))


def test_the_teams_hooks_are_options_in_its_own_file(
    scripts: Scripts, metadata: MetaData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_ours(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
        return name != "hidden"

    def numbered(context: Any, revision: Any, directives: list[MigrationScript]) -> None:
        directives[0].rev_id = f"{len(scripts.revisions()) + 1:04}"

    team = {"include_object": is_ours, "process_revision_directives": numbered}
    monkeypatch.setattr(models, "migration_options", team, raising=False)
    Table("hidden", metadata, Column("id", BigInteger, primary_key=True))
    orders(metadata)
    (text,) = scripts.generate("orders")
    assert "hidden" not in text
    assert scripts.revisions() == ["0001"]
    with pytest.raises(SystemExit, match="There is nothing to migrate"):
        scripts.upgrade()
        scripts.generate("hidden")


def test_a_file_with_a_mark_of_its_byte_order_is_read(scripts: Scripts) -> None:
    """As editors on Windows write one."""
    path = scripts.write("first", 'op.create_table("orders", sa.Column("id", sa.Integer()))')
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    scripts.upgrade()
    assert scripts.current() == "first"
