"""upsert: rows that are there are updated or skipped, and the numbers say truly what was done."""

import random
from collections.abc import Callable

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, UniqueConstraint, insert, select

from app.database import Database, InvalidValue, UniqueViolation
from app.database.bulk import Upserted, upsert
from app.database.bulk import rows as bulk_rows
from app.settings import Settings
from tests.probes import RICH, numbered, probe, probes
from tests.proxy import Proxy
from tests.statements import rows, run

MakeDatabase = Callable[..., Database]


async def test_new_rows_are_inserted_changed_ones_updated_and_equal_ones_skipped(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await run(session, insert(numbered).values(code="changed", value=1))
        await run(session, insert(numbered).values(code="equal", value=2))
        given = [{"code": "changed", "value": 7}, {"code": "equal", "value": 2}, {"code": "new", "value": 3}]
        done = await upsert(session, numbered, given, conflict="code", update="value")
        assert done == Upserted(inserted=1, updated=1, skipped=1)
        assert await rows(session, select(numbered.c.code, numbered.c.value).order_by(numbered.c.code)) == [
            ("changed", 7),
            ("equal", 2),
            ("new", 3),
        ]


async def test_without_columns_to_update_rows_that_are_there_are_skipped(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await upsert(session, numbered, [{"code": "there", "value": 1}], conflict="code")
        given = [{"code": "there", "value": 7}, {"code": "new", "value": 3}]
        assert await upsert(session, numbered, given, conflict=["code"]) == Upserted(inserted=1, skipped=1)
        assert await rows(session, select(numbered.c.value).order_by(numbered.c.code)) == [(3,), (1,)]
        assert await upsert(session, numbered, [], conflict="code") == Upserted()


@pytest.mark.parametrize("at_once", [1, 2, 50])
@pytest.mark.parametrize("update", [(), ("value",), ("value", "nick")])
async def test_numbers_and_rows_are_those_of_one_row_after_the_other(
    probe_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch, at_once: int, update: tuple[str, ...]
) -> None:
    """For random rows, some of which have the same key: what a dictionary would do."""
    monkeypatch.setattr(bulk_rows, "BATCH", at_once)
    dice = random.Random(f"{at_once} {update}")
    stored: dict[str, dict[str, object]] = {}
    async with probe_database().transaction() as session:
        for round in range(12):
            given: list[dict[str, object]] = [
                {"code": f"c{dice.randrange(12)}", "value": dice.choice([None, 1, 2]), "nick": None, "changed": round}
                for _ in range(dice.randrange(1, 9))
            ]
            expected = Upserted()
            for row in given:
                expected += _one(stored, row, update)
            assert await upsert(session, numbered, given, conflict="code", update=update, touch="changed") == expected
            found = await rows(session, select(*(numbered.c[name] for name in given[0])))
            assert sorted(found, key=str) == sorted((tuple(row.values()) for row in stored.values()), key=str)


def _one(stored: dict[str, dict[str, object]], row: dict[str, object], update: tuple[str, ...]) -> Upserted:
    old = stored.get(str(row["code"]))
    if old is None:
        stored[str(row["code"])] = row.copy()
        return Upserted(inserted=1)
    if all(old[name] == row[name] for name in update):
        return Upserted(skipped=1)
    old |= {name: row[name] for name in (*update, "changed")}
    return Upserted(updated=1)


async def test_a_row_that_is_there_by_another_key_is_an_error_and_changes_nothing(probe_database: MakeDatabase) -> None:
    """MySQL's ON DUPLICATE KEY would update the row with that other key."""
    async with probe_database().transaction() as session:
        there: list[dict[str, object]] = [
            {"code": "a", "nick": "A", "value": 1},
            {"code": "b", "nick": None, "value": 1},
        ]
        await upsert(session, numbered, there, conflict="code")
        before = await rows(session, select(numbered).order_by(numbered.c.id))
        given: list[dict[str, object]] = [
            {"code": "b", "nick": "B", "value": 2},
            {"code": "c", "nick": "A", "value": 2},
        ]
        for update in ((), ("value",), ("nick", "value")):
            for some in (given, given[1:]):
                with pytest.raises(UniqueViolation) as caught:
                    await upsert(session, numbered, some, conflict="code", update=update)
                assert caught.value.row == len(some) - 1
        nobody = {"code": "d", "nick": None, "value": 2}  # NULL equals nothing
        assert await upsert(session, numbered, [nobody, {**nobody, "code": "e"}], conflict="nick") == Upserted(2)
        assert await upsert(session, numbered, [{**nobody, "code": "f"}], conflict="nick", update="value") == Upserted(
            1
        )
        after = await rows(session, select(numbered).order_by(numbered.c.id))
        assert after[:2] == before
        assert len(after) == 5


async def test_every_type_is_compared_and_stored_as_by_single_statements(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        given = [probe(1, **RICH), probe(2, **dict.fromkeys(RICH))]
        update = tuple(RICH)
        assert await upsert(session, probes, given, conflict="id", update=update) == Upserted(inserted=2)
        assert await upsert(session, probes, given, conflict="id", update=update) == Upserted(skipped=2)
        changed = [given[0], {**given[1], "document": {"a": 1}}]
        assert await upsert(session, probes, changed, conflict="id", update=update) == Upserted(updated=1, skipped=1)
        found = await rows(session, select(*(probes.c[name] for name in RICH)).order_by(probes.c.id))
        assert found[0] == tuple(RICH.values())
        assert found[1][1] == {"a": 1}


async def test_the_row_at_fault_is_named_and_nothing_is_done(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await run(session, insert(probes).values(probe(1)))
        given = [probe(id, value=5) for id in range(40)]
        given[27]["name"] = "x" * 21
        for update in ((), ("value",), ("name", "value")):
            with pytest.raises(InvalidValue) as caught:
                await upsert(session, probes, given, conflict="id", update=update)
            assert caught.value.row == 27
            assert await rows(session, select(probes.c.id, probes.c.value)) == [(1, 0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conflict": "value"}, "neither the primary key nor a unique constraint"),
        ({"conflict": ()}, "neither the primary key nor a unique constraint"),
        ({"conflict": "nonsense"}, "probes has no column nonsense"),
        ({"conflict": "id", "update": "nonsense"}, "probes has no column nonsense"),
        ({"conflict": "id", "update": "amount"}, "the rows have no amount"),
    ],
    ids=str,
)
async def test_columns_that_do_not_fit_are_refused(
    probe_database: MakeDatabase, options: dict[str, str], message: str
) -> None:
    async with probe_database().transaction() as session:
        with pytest.raises(ValueError, match=message):
            await upsert(session, probes, [probe(1)], **options)


async def test_a_constraint_that_waits_for_the_commit_is_no_key_to_go_by(probe_database: MakeDatabase) -> None:
    late = Table("late", MetaData(), Column("id", Integer), UniqueConstraint("id", deferrable=True))
    async with probe_database().transaction() as session:
        with pytest.raises(ValueError, match="nor a unique constraint, checked at once"):
            await upsert(session, late, [{"id": 1}], conflict="id")


@pytest.mark.usefixtures("no_pooler")
async def test_round_trips_do_not_depend_on_the_number_of_rows(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(url=url, pool_size=1, max_overflow=0)

        async def cost(number: int) -> int:
            async with database.transaction() as session:
                given = [probe(id, value=number) for id in range(number)]
                await upsert(session, probes, given, conflict="id", update="value")
                before = proxy.round_trips
                await upsert(session, probes, given, conflict="id", update="value")
                return proxy.round_trips - before

        assert await cost(20) == await cost(2000) < 15
        await database.close()
