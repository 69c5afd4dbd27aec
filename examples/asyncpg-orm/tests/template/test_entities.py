"""Entities are complete after a flush: what the server made is there, and reading it needs no further statement."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from sqlalchemy import String, delete, event, func, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.database import (
    Database,
    DatabaseError,
    Session,
    StaleRow,
    StatementRefused,
    TransactionAborted,
    UniqueViolation,
)
from app.database.backend import Base
from app.settings import Settings
from tests.probes import probe, probes
from tests.statements import rows, sqlalchemy_engine

MakeDatabase = Callable[..., Database]


class OwnBase(DeclarativeBase):
    __mapper_args__ = Base.__mapper_args__


class Entity(OwnBase):
    __tablename__ = "entities"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    number: Mapped[int] = mapped_column(server_default="7", onupdate=func.abs(-8))


@pytest.fixture
async def entities(settings: Settings) -> AsyncIterator[None]:
    engine = sqlalchemy_engine(settings.database)
    async with engine.begin() as connection:
        await connection.run_sync(OwnBase.metadata.create_all)
    yield
    async with engine.begin() as connection:
        await connection.run_sync(OwnBase.metadata.drop_all)
    await engine.dispose()


@pytest.mark.usefixtures("entities")
async def test_what_the_server_made_is_there_after_the_flush(probe_database: MakeDatabase) -> None:
    async with probe_database().transaction() as session:
        entity = Entity(name="one")
        session.add(entity)
        await session.flush()
        assert (entity.id, entity.number) == (1, 7)
        entity.name = "two"
        await session.flush()
        assert entity.number == 8
    assert (entity.name, entity.number) == ("two", 8)  # and after the commit


@pytest.mark.usefixtures("entities")
async def test_an_entity_whose_row_somebody_else_removed_is_a_stale_row(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=2, max_overflow=0)
    async with database.transaction() as session:
        session.add(Entity(id=1, name="one"))
    for explicit in (True, False):
        with pytest.raises(StaleRow) as caught:
            async with database.transaction() as session:
                entity = Entity(id=7, name="removed meanwhile")
                session.add(entity)
                await session.flush()
                await session.affected(delete(Entity).where(Entity.id == 7))
                session.add(Entity(name="of the same unit"))
                entity.name = "changed"
                if explicit:
                    await session.flush()
        assert caught.value.status == 409
    async with database.read() as session:
        assert await session.fetch_val(select(func.count()).select_from(Entity)) == 1


@pytest.mark.usefixtures("entities")
async def test_a_flush_that_failed_and_was_caught_ends_the_unit(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        session.add(Entity(id=1, name="one"))
    with pytest.raises(TransactionAborted) as caught:
        async with database.transaction() as session:
            session.add(Entity(id=2, name="two"))
            await session.flush()
            session.add(Entity(id=1, name="another one"))
            with pytest.raises(UniqueViolation):
                await session.flush()
            with pytest.raises(TransactionAborted):  # SQLAlchemy's PendingRollbackError
                await session.execute(select(Entity.id))
            with pytest.raises(TransactionAborted):
                await session.merge_all([Entity(id=4, name="four")])
            with suppress(DatabaseError):
                await session.affected(insert(Entity).values(id=3, name="three"))
    assert isinstance(caught.value, DatabaseError)
    async with database.read() as session:
        assert [row["id"] for row in await session.fetch_all(select(Entity.id))] == [1]


@pytest.mark.usefixtures("entities")
async def test_a_flush_that_failed_in_a_savepoint_leaves_the_rest_of_the_unit(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        session.add(Entity(id=1, name="one"))
    async with database.transaction() as session:
        session.add(Entity(id=2, name="two"))
        with pytest.raises(UniqueViolation):
            async with session.begin_nested():
                session.add(Entity(id=1, name="another one"))
        session.add(Entity(id=3, name="three"))
    async with database.read() as session:
        ids = select(Entity.id).order_by(Entity.id)
        assert [row["id"] for row in await session.fetch_all(ids)] == [1, 2, 3]


@pytest.mark.usefixtures("entities")
@pytest.mark.parametrize("way", ["fetch_all", "fetch_one", "fetch_val", "affected"])
async def test_what_was_added_changed_or_deleted_is_stored_before_what_goes_beside_the_entities(
    probe_database: MakeDatabase, way: str
) -> None:
    async def names(session: Session) -> object:
        query = select(Entity.name).order_by(Entity.id)
        if way == "affected":
            return await session.affected(update(Entity).values(name=Entity.name))
        found = await getattr(session, way)(query)
        return found if way == "fetch_val" else found["name"] if way == "fetch_one" else [row["name"] for row in found]

    def seen(*stored: str) -> object:
        if way == "affected":
            return len(stored)
        return list(stored) if way == "fetch_all" else stored[0]

    async with probe_database().transaction() as session:
        one, two = Entity(id=1, name="one"), Entity(id=2, name="two")
        session.add_all([one, two])
        assert await names(session) == seen("one", "two")
        one.name = "first"
        assert await names(session) == seen("first", "two")
        await session.delete(two)
        assert await names(session) == seen("first")


@pytest.mark.parametrize("way", ["affected", "fetch_all", "bulk"])
async def test_what_goes_beside_the_entities_is_undone_with_their_savepoint(
    probe_database: MakeDatabase, way: str
) -> None:
    async def insert_one(session: Session, id: int) -> None:
        if way == "bulk":
            bulk = pytest.importorskip("app.database.bulk", reason="it was deleted: docs/bulk.md")
            await bulk.bulk_insert(session, probes, [probe(id)])
        else:
            await getattr(session, way)(insert(probes).values(probe(id)))

    database = probe_database()
    async with database.transaction() as session:
        await insert_one(session, 1)
        with pytest.raises(LookupError):
            async with session.begin_nested():
                await insert_one(session, 2)
                raise LookupError
        await insert_one(session, 3)
    async with database.transaction() as session:
        await insert_one(session, 4)
        await session.rollback()
    async with database.read() as session:
        assert await rows(session, select(probes.c.id).order_by(probes.c.id)) == [(1,), (3,)]


ENDS: dict[str, tuple[type[BaseException] | None, list[str]]] = {
    "the end": (None, ["before_commit", "after_commit"]),
    "an exception": (LookupError, ["after_rollback", "after_soft_rollback"]),
    "a cancellation": (asyncio.CancelledError, ["after_rollback", "after_soft_rollback"]),
}


@pytest.mark.usefixtures("entities")
@pytest.mark.parametrize(("error", "events"), ENDS.values(), ids=ENDS.keys())
async def test_who_listens_to_a_session_hears_how_its_unit_ended(
    error: type[BaseException] | None, events: list[str], probe_database: MakeDatabase
) -> None:
    heard: list[str] = []
    with suppress(LookupError, asyncio.CancelledError):
        async with probe_database().transaction() as session:
            for name in ("before_commit", "after_commit", "after_rollback", "after_soft_rollback"):
                event.listen(session.sync_session, name, lambda *_, name=name: heard.append(name))
            session.add(Entity(name="one"))
            await session.flush()
            if error:
                raise error
    assert heard == events


@pytest.mark.usefixtures("entities")
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", ["before_commit", "after_commit", "after_soft_rollback", "after_transaction_end"])
async def test_a_listener_that_fails_keeps_no_connection(name: str, fails: bool, probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0)

    def fail(*_: object) -> None:
        raise ArithmeticError

    with suppress(ArithmeticError, LookupError):
        async with database.transaction() as session:
            event.listen(session.sync_session, name, fail)
            session.add(Entity(name="one"))
            await session.flush()
            if fails:
                raise LookupError
    assert database.status().in_use == 0
    async with database.read() as session:  # the only place is free, and the task may begin another unit
        assert await session.fetch_val(select(func.count()).select_from(Entity)) in (0, 1)


@pytest.mark.usefixtures("entities")
async def test_savepoints_that_overlap_in_the_moment_of_their_flush_are_refused(probe_database: MakeDatabase) -> None:
    async def inside(session: Session, id: int) -> None:
        async with session.begin_nested():
            session.add(Entity(id=id, name=f"entity {id}"))
            await session.flush()
            if id == 1:
                raise LookupError

    database = probe_database()
    with pytest.raises((StatementRefused, TransactionAborted)):
        async with database.transaction() as session:
            await asyncio.gather(*(inside(session, id) for id in range(3)), return_exceptions=True)
    async with database.read() as session:
        assert await session.fetch_all(select(Entity.id)) == []
