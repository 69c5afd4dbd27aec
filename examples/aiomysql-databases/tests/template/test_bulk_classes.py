"""What SQLAlchemy adds by itself to a row of a mapped class, the bulk functions add too: of which class of a hierarchy
it is, and how often it was changed.
"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, update
from sqlalchemy.orm import registry

from app.database import Database
from app.database.bulk import Upserted, bulk_insert, bulk_update, upsert
from app.settings import Settings
from tests.probes import numbered
from tests.statements import created, rows, run

MakeDatabase = Callable[..., Database]

BIRD, OWN_CODE = 7, 9


class Animal:
    """Its kind is in `value`."""


class Bird(Animal):
    pass


class Tool:
    """Its kind is in `changed`, which has a default."""


class Saw(Tool):
    pass


class Fruit:
    """Its attributes have other names than the columns, of which one is another class's."""


class Apple(Fruit):
    pass


class Counted:
    """Its version is in `changed`."""


class CountedByServer:
    pass


class CountedByThemselves:
    pass


for parent, child, kind in ((Animal, Bird, numbered.c.value), (Tool, Saw, numbered.c.changed)):
    mapped = registry()
    mapped.map_imperatively(parent, numbered, polymorphic_on=kind, polymorphic_identity=0)
    mapped.map_imperatively(child, inherits=parent, polymorphic_identity=BIRD)
fruits = Table(
    "fruits",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("kind", Integer),
    Column("named", String(20)),
    Column("slug", String(20), default=lambda context: str(context.get_current_parameters()["named"]).lower()),
    Column("of_another_class", Integer, default=100, onupdate=200),
)
mapped = registry()
mapped.map_imperatively(
    Fruit,
    fruits,
    polymorphic_on=fruits.c.kind,
    polymorphic_identity=0,
    exclude_properties=["of_another_class"],
    properties={"label": fruits.c.named},
)
mapped.map_imperatively(Apple, inherits=Fruit, polymorphic_identity=BIRD)
registry().map_imperatively(Counted, numbered, version_id_col=numbered.c.changed)
registry().map_imperatively(CountedByServer, numbered, version_id_col=numbered.c.changed, version_id_generator=False)
registry().map_imperatively(
    CountedByThemselves, numbered, version_id_col=numbered.c.nick, version_id_generator=lambda old: "first"
)


async def kinds(session: Any, column: Column[Any]) -> list[Any]:
    return [kind for (kind,) in await rows(session, select(column).order_by(numbered.c.id))]


@pytest.mark.parametrize("way", ["insert", "upsert"])
@pytest.mark.parametrize(
    ("target", "column", "kind"),
    [(Animal, "value", 0), (Bird, "value", BIRD), (Tool, "changed", 0), (Saw, "changed", BIRD)],
)
async def test_a_row_of_a_class_in_a_hierarchy_is_of_that_class(
    target: type[Any], column: str, kind: int, way: str, probe_database: MakeDatabase
) -> None:
    async with probe_database().transaction() as session:
        for given in ({"id": 1, "code": "a"}, {"id": 2, "code": "b", column: OWN_CODE}):
            if way == "insert":
                await bulk_insert(session, target, [given])
            else:
                assert await upsert(session, target, [given], conflict="code") == Upserted(inserted=1)
        assert await kinds(session, numbered.c[column]) == [kind, OWN_CODE]


async def test_what_the_columns_of_the_table_have_by_default_is_stored_whatever_the_class_maps(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    stored = select(*fruits.c).order_by(fruits.c.id)
    async with created(settings.database, fruits), probe_database().transaction() as session:
        await bulk_insert(session, Apple, [{"id": 1, "label": "Red"}])
        await run(session, insert(fruits).values(id=2, kind=BIRD, named="Red"))  # an ordinary one's
        first, second = await rows(session, stored)
        assert first[1:] == second[1:] == (BIRD, "Red", "red", 100)
        await bulk_update(session, Apple, [{"id": 1, "label": "Green"}], key="id")
        await run(session, update(fruits).values(named="Green").where(fruits.c.id == 2))
        first, second = await rows(session, stored)
        assert first[1:] == second[1:] == (BIRD, "Green", "red", 200)


async def test_a_row_that_is_there_stays_of_its_class(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, Animal, [{"id": 1, "code": "a"}])
        given = [{"id": 1, "code": "a", "nick": "new"}]
        assert await upsert(session, Bird, given, conflict="code", update="nick") == Upserted(updated=1)
        assert await bulk_update(session, Bird, [{"code": "a", "nick": "newer"}], key="code") == 1
        assert await kinds(session, numbered.c.value) == [0]


@pytest.mark.parametrize(
    ("target", "column", "first", "own"),
    [
        (Counted, "changed", 1, OWN_CODE),
        (CountedByThemselves, "nick", "first", "own"),
        (CountedByServer, "changed", 1, OWN_CODE),  # the default of the column
    ],
)
async def test_a_new_row_has_its_first_version(
    target: type[Any], column: str, first: object, own: object, probe_database: MakeDatabase
) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, target, [{"id": 1, "code": "a"}])
        await bulk_insert(session, target, [{"id": 2, "code": "b", column: own}])
        assert await kinds(session, numbered.c[column]) == [first, own]


@pytest.mark.parametrize(
    ("target", "version"), [(Counted, 5), (CountedByServer, 4), (CountedByThemselves, 4), (numbered, 4)]
)
async def test_an_update_counts_in_the_version_of_the_row(
    target: Any, version: int, probe_database: MakeDatabase
) -> None:
    async with probe_database().transaction() as session:
        await bulk_insert(session, numbered, [{"id": id, "code": str(id), "changed": 4} for id in (1, 2, 3)])
        assert await bulk_update(session, target, [{"id": 1, "nick": "x"}, {"id": 2, "nick": "y"}], key="id") == 2
        assert await bulk_update(session, target, [{"id": 3, "changed": OWN_CODE}], key="id") == 1
        assert await kinds(session, numbered.c.changed) == [version, version, OWN_CODE]
