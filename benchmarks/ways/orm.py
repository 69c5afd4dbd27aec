"""What SQLAlchemy offers, and what is widely published."""

from typing import Any

from common import Context, metadata, people, stored, way
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    metadata = metadata


class Person(Base):
    __table__ = people


class Stored(Base):
    __table__ = stored


@way("insert", "Core insert(), a list of values")
async def core(context: Context) -> None:
    await (await context.session.connection()).execute(insert(people), context.rows)


@way("insert", "Core insert().values(1000 rows)", 0.1)
async def core_values(context: Context) -> None:
    connection = await context.session.connection()
    for start in range(0, len(context.rows), 1000):
        await connection.execute(insert(people).values(context.rows[start : start + 1000]))


@way("insert", "ORM insert(Class), a list of values")
async def orm_insert(context: Context) -> None:
    await context.session.execute(insert(Person), context.rows)


@way("insert", "ORM add_all()", 0.2)
async def add_all(context: Context) -> None:
    context.session.add_all([Person(**row) for row in context.rows])
    await context.session.flush()


@way("update", "Core update(), a list of bindparam() values")
async def core_update(context: Context) -> None:
    query = update(stored).where(stored.c.id == bindparam("key")).values(name=bindparam("n"), number=bindparam("m"))
    values = [{"key": row["id"], "n": row["name"], "m": row["number"]} for row in context.changes]
    await (await context.session.connection()).execute(query, values)


@way("update", "ORM update(Class), a list of values")
async def orm_update(context: Context) -> None:
    await context.session.execute(update(Stored), context.changes)


@way("update", "ORM, loaded and changed one by one", 0.2)
async def mutate(context: Context) -> None:
    changes: dict[int, dict[str, Any]] = {row["id"]: row for row in context.changes}
    for one in await context.session.scalars(select(Stored).where(stored.c.id.in_(changes))):
        one.name, one.number = changes[one.id]["name"], changes[one.id]["number"]
    await context.session.flush()
