"""What the `databases` library offers."""

from common import Context, people, stored, way
from sqlalchemy import insert

SET = "UPDATE bench_stored SET name = :name, number = :number WHERE id = :id"


@way("insert", "databases execute(insert().values(1000 rows))", 0.1)
async def values(context: Context) -> None:
    for start in range(0, len(context.rows), 1000):
        await context.session.execute(insert(people).values(context.rows[start : start + 1000]))


@way("insert", "databases execute_many()", 0.05)
async def execute_many(context: Context) -> None:
    await context.session.execute_many(insert(people), context.rows)


@way("update", "databases execute_many()", 0.1)
async def update_many(context: Context) -> None:
    assert stored.name in SET
    await context.session.execute_many(SET, context.changes)
