"""The driver itself: COPY, arrays, executemany. The floor of what PostgreSQL is asked for here."""

import sys
from typing import Any

from common import NAMES, Context, run, tuples, way


async def execute(raw: Any, text: str) -> None:
    await raw.execute(text)


@way("insert", "asyncpg copy_records_to_table()")
async def copy(context: Context) -> None:
    await context.raw.copy_records_to_table("bench_people", columns=NAMES, records=tuples(context.rows))


@way("insert", "asyncpg INSERT SELECT unnest()")
async def unnest(context: Context) -> None:
    sql = "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::float8[])"
    columns = zip(*tuples(context.rows), strict=True)
    await context.raw.execute(f"INSERT INTO bench_people ({', '.join(NAMES)}) {sql}", *columns)


@way("insert", "asyncpg executemany()")
async def executemany(context: Context) -> None:
    sql = f"INSERT INTO bench_people ({', '.join(NAMES)}) VALUES ($1, $2, $3, $4, $5)"
    await context.raw.executemany(sql, tuples(context.rows))


@way("update", "asyncpg temporary table and join")
async def temporary(context: Context) -> None:
    await context.raw.execute("CREATE TEMPORARY TABLE given (id bigint, name text, number int) ON COMMIT DROP")
    await context.raw.copy_records_to_table("given", records=tuples(context.changes))
    await context.raw.execute(
        "UPDATE bench_stored s SET name = g.name, number = g.number FROM given g WHERE s.id = g.id"
    )


@way("update", "asyncpg UPDATE FROM unnest()")
async def from_unnest(context: Context) -> None:
    sql = """UPDATE bench_stored s SET name = g.name, number = g.number
        FROM unnest($1::bigint[], $2::text[], $3::int[]) g (id, name, number) WHERE s.id = g.id"""
    await context.raw.execute(sql, *zip(*tuples(context.changes), strict=True))


@way("upsert", "asyncpg executemany(), all of them there and changed", 0.2)
async def upsert(context: Context) -> None:
    sql = f"""INSERT INTO bench_stored ({", ".join(NAMES)}) VALUES ($1, $2, $3, $4 + 1, $5)
        ON CONFLICT (email) DO UPDATE SET name = excluded.name, number = excluded.number"""
    await context.raw.executemany(sql, tuples(context.rows))


if __name__ == "__main__":
    for module in ("ours", sys.argv[2]):
        __import__(module)
    run(execute)
