"""Entities are complete after a flush: what the server made is there, and reading it needs no further statement."""

from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from sqlalchemy import String, func
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from app.database import Database, driver
from app.database.backend import Base
from app.settings import Settings

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
    connect = partial(driver.connect, settings.database.target, settings.database, read_only=False)
    engine = create_async_engine(f"{driver.DIALECT}://", async_creator=connect, poolclass=NullPool)
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
