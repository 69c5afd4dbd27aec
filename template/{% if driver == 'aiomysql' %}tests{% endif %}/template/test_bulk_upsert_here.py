"""upsert where MySQL and MariaDB have their own ways: keys that they make, triggers, texts that they take for equal."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select, text

from app.database import Database, driver
from app.database.bulk import Upserted, upsert
from tests.probes import numbered
from tests.statements import rows, run, value

MakeDatabase = Callable[..., Database]


@pytest.mark.parametrize("key", [0, None])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_key_for_which_the_server_makes_one_is_a_new_row_each_time(
    probe_database: MakeDatabase, key: int | None, number: int
) -> None:
    async with probe_database().transaction() as session:
        for round in ("a", "b"):
            given = [{"id": key, "code": f"{round}{n}", "value": 1} for n in range(number)]
            assert await upsert(session, numbered, given, conflict="id", update="value") == Upserted(inserted=number)
        assert await value(session, select(func.count()).select_from(numbered)) == 2 * number


@pytest.mark.usefixtures("no_pooler")  # behind which a session keeps no sql_mode
@pytest.mark.parametrize("more", [(), ({"id": 7, "code": "seven", "value": 1},)], ids=["alone", "among others"])
async def test_zero_is_a_key_as_any_other_where_the_server_makes_none_for_it(
    probe_database: MakeDatabase, more: tuple[dict[str, object], ...]
) -> None:
    async with probe_database().transaction() as session:
        await run(session, text("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')"))
        for number, expected in (
            (1, Upserted(inserted=1 + len(more))),
            (1, Upserted(skipped=1 + len(more))),
            (2, Upserted(updated=1, skipped=len(more))),
        ):
            given = [{"id": 0, "code": "zero", "value": number}, *more]
            assert await upsert(session, numbered, given, conflict="id", update="value") == expected
        assert await rows(session, select(numbered.c.value).where(numbered.c.id == 0)) == [(2,)]


@pytest.mark.parametrize("number", [1, 2])
async def test_the_mark_of_a_row_that_was_there_is_not_taken_for_the_last_key(
    probe_database: MakeDatabase, number: int
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    given = [{"code": str(n), "value": 1} for n in range(number)]
    async with database.transaction() as session:
        for expected in (Upserted(inserted=number), Upserted(skipped=number)):
            assert await upsert(session, numbered, given, conflict="code", update="value") == expected
            assert await value(session, select(func.last_insert_id())) == 0


@pytest.mark.parametrize("number", [1, 2])
async def test_triggers_see_each_row_once(
    probe_database: MakeDatabase, server: driver.RawConnection, number: int
) -> None:
    await driver.scalar(server, "CREATE TABLE seen (id int AUTO_INCREMENT PRIMARY KEY, what varchar(20))")
    for when in ("BEFORE INSERT", "AFTER INSERT", "AFTER UPDATE"):
        name = f"see_{when.lower().replace(' ', '_')}"
        sees = f"INSERT INTO seen (what) VALUES ('{when}')"
        await driver.scalar(server, f"CREATE TRIGGER {name} {when} ON numbered FOR EACH ROW {sees}")
    given = [{"code": str(n), "value": 1} for n in range(number)]
    changed = [{**row, "value": 2} for row in given]
    try:
        async with probe_database().transaction() as session:
            assert await upsert(session, numbered, given, conflict="code", update="value") == Upserted(number)
            assert await upsert(session, numbered, changed, conflict="code", update="value") == Upserted(0, number)
            found = await rows(session, text("SELECT what FROM seen ORDER BY id"))
            assert await upsert(session, numbered, changed, conflict="code", update="value") == Upserted(0, 0, number)
        inserted = [("BEFORE INSERT",), ("AFTER INSERT",)] * number
        updated = [("BEFORE INSERT",), ("AFTER UPDATE",)] * number
        assert found == inserted + updated
    finally:
        await driver.scalar(server, "DROP TABLE seen")
        for when in ("before_insert", "after_insert", "after_update"):
            await driver.scalar(server, f"DROP TRIGGER see_{when}")


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize("stored", ["Bob", "bob ", "böb", None])
async def test_a_text_that_is_equal_to_the_server_and_stored_otherwise_is_a_change(
    probe_database: MakeDatabase, stored: str | None, others: int
) -> None:
    def given(nick: str | None, changed: int) -> list[dict[str, object]]:
        return [{"code": f"c{n}", "nick": nick if n == 0 else f"n{n}", "changed": changed} for n in range(1 + others)]

    async with probe_database().transaction() as session:
        for nick, changed, expected in (
            ("bob", 1, Upserted(inserted=1 + others)),
            (stored, 2, Upserted(updated=1, skipped=others)),
            (stored, 3, Upserted(skipped=1 + others)),
        ):
            rows_given = given(nick, changed)
            done = await upsert(session, numbered, rows_given, conflict="code", update="nick", touch="changed")
            assert done == expected
        found = await rows(session, select(numbered.c.nick, numbered.c.changed).order_by(numbered.c.code))
        assert found == [(stored, 2), ("n1", 1)][: 1 + others]
