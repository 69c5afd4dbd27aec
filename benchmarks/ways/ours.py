"""The service's own functions, in either access style."""

from common import Context, people, stored, way

from app.database.bulk import bulk_insert, bulk_update, upsert


@way("insert", "bulk_insert")
async def insert(context: Context) -> None:
    await bulk_insert(context.session, people, context.rows)


@way("update", "bulk_update")
async def update(context: Context) -> None:
    await bulk_update(context.session, stored, context.changes, key="id")


@way("upsert", "upsert, all of them new")
async def upsert_new(context: Context) -> None:
    await upsert(context.session, people, context.rows, conflict="email", update=("name", "number"))


@way("upsert", "upsert, all of them there and equal")
async def upsert_equal(context: Context) -> None:
    await upsert(context.session, stored, context.rows, conflict="email", update=("name", "number"))


@way("upsert", "upsert, all of them there and changed")
async def upsert_changed(context: Context) -> None:
    changed = ({**row, "number": row["number"] + 1} for row in context.rows)
    await upsert(context.session, stored, changed, conflict="email", update=("name", "number"))
