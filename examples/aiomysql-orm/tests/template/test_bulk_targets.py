"""Bulk rows by users who may not do everything, on servers that want more, and beyond what a server takes at once."""

from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import Column, Enum, Integer, LargeBinary, MetaData, Table, select, text

from app.database import Database, Session, StatementRefused, ValueTooLarge, driver
from app.database.bulk import bulk_insert, bulk_update
from app.database.bulk import rows as bulk_rows
from app.settings import Settings
from tests import facts
from tests.probes import probe, probes
from tests.statements import created, rows, run, value
from tests.urls import as_user

MakeDatabase = Callable[..., Database]


async def test_the_privilege_that_is_missing_is_named(
    probe_database: MakeDatabase, settings: Settings, server: driver.RawConnection, worker_id: str
) -> None:
    user = f"bulk_{worker_id}"
    await facts.create_user(server, user, "secret")
    for host in facts._HOSTS:
        await driver.scalar(server, f"REVOKE CREATE TEMPORARY TABLES ON `{server.db}`.* FROM {user}@'{host}'")
    database = probe_database(url=as_user(settings.database.url, user, "secret"))
    async with database.transaction() as session:
        await bulk_insert(session, probes, [probe(1)])
        with pytest.raises(StatementRefused, match="needs the privilege CREATE TEMPORARY TABLES"):
            await bulk_update(session, probes, [{"id": 1, "value": 2}], key="id")
        assert await bulk_insert(session, probes, [probe(2)]) == 1
    await database.close()
    await facts.drop_user(server, user)


async def test_each_table_may_have_to_have_a_primary_key(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    if "MariaDB" in await driver.scalar(server, "SELECT VERSION()"):
        pytest.skip("MariaDB 10.11 has no sql_require_primary_key")
    async with probe_database().transaction() as session:
        await run(session, text("SET SESSION sql_require_primary_key = ON"))
        await bulk_insert(session, probes, [probe(1)])
        assert await bulk_update(session, probes, [{"id": 1, "value": 2}], key="id") == 1


async def test_a_value_that_is_larger_than_a_packet_is_named_by_its_row_and_costs_no_connection(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    large = Table("bulk_large", MetaData(), Column("id", Integer, primary_key=True), Column("data", LargeBinary))
    await driver.scalar(server, "CREATE TABLE bulk_large (id int PRIMARY KEY, data longblob)")
    limit = int(await driver.scalar(server, "SELECT @@max_allowed_packet"))
    database = probe_database(pool_size=1, max_overflow=0)
    try:
        async with database.transaction() as session:
            before = await session.fetch_val(text(facts.SESSION_ID))
            given = [{"id": 1, "data": b"x"}, {"id": 2, "data": bytes(limit // 2)}]
            with pytest.raises(ValueTooLarge) as caught:
                await bulk_insert(session, large, given)
            assert (caught.value.status, caught.value.row) == (413, 1)
            for data in (memoryview(b"a'b"), bytearray(b"a'b")):
                await bulk_insert(session, large, [{"id": 3, "data": data}])
                assert await session.fetch_val(text("SELECT data FROM bulk_large")) == b"a'b"
                await run(session, text("DELETE FROM bulk_large"))
            assert await session.fetch_val(text(facts.SESSION_ID)) == before
    finally:
        await driver.scalar(server, "DROP TABLE bulk_large")


@pytest.mark.usefixtures("no_pooler")  # behind which both are refused
async def test_what_the_rows_of_bulk_update_leave_on_the_session_is_not_handed_on(
    probe_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_rows, "BATCH", 1)
    database = probe_database(pool_size=1, max_overflow=0)

    async def changes(session: Session) -> AsyncIterator[dict[str, int]]:
        yield {"id": 1, "value": 1}
        await run(session, text("SET @made = 1"))
        yield {"id": 2, "value": 2}

    async with database.transaction() as session:
        await bulk_insert(session, probes, [probe(1), probe(2)])
        assert await bulk_update(session, probes, changes(session), key="id") == 2
    async with database.read() as session:
        assert await value(session, text("SELECT @made")) is None


async def test_a_key_may_be_an_enum_with_words_that_types_are_called_by(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    kind = Enum("TEXT", "BLOB", "VARCHAR(300)", "JSON", name="kind")
    table = Table("of_kinds", MetaData(), Column("kind", kind, primary_key=True), Column("number", Integer))
    async with created(settings.database, table), probe_database().transaction() as session:
        await bulk_insert(session, table, [{"kind": word, "number": 0} for word in kind.enums])
        changes = [{"kind": word, "number": number} for number, word in enumerate(kind.enums)]
        assert await bulk_update(session, table, changes, key="kind") == 4
        assert sorted(await rows(session, select(table.c.number))) == [(0,), (1,), (2,), (3,)]
