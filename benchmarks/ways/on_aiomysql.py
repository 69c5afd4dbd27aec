"""The driver itself: LOAD DATA, executemany, JSON. The floor of what MySQL and MariaDB are asked for here.

LOAD DATA is what all is compared with, although it cuts, zeroes and skips what does not fit without an error.
"""

import json
import sys
from typing import Any

import aiomysql
from common import NAMES, Context, run, tuples, way
from pymysql.constants import CLIENT, COMMAND

VALUES = "VALUES (%s, %s, %s, %s, %s)"


async def execute(raw: Any, text: str) -> None:
    await raw.query(text)


async def open_own(settings: Any) -> Any:
    """One that may send data for LOAD DATA LOCAL, which the server's administrator has allowed."""
    (host, port), *_ = settings.target.hosts
    return await aiomysql.connect(
        host=host,
        port=port,
        user=settings.target.user,
        db=settings.target.database,
        charset="utf8mb4",
        autocommit=True,
        client_flag=CLIENT.LOCAL_FILES,
    )


@way("insert", "LOAD DATA LOCAL, streamed")
async def load_data(context: Context) -> None:
    raw = context.own
    await raw.query("START TRANSACTION READ WRITE")
    sql = f"LOAD DATA LOCAL INFILE 'x' INTO TABLE bench_people ({', '.join(NAMES)})"
    await raw._execute_command(COMMAND.COM_QUERY, sql)
    packet = await raw._read_packet()
    assert packet.is_load_local_packet()
    lines = "".join("\t".join(map(str, row)) + "\n" for row in tuples(context.rows)).encode()
    for start in range(0, len(lines), 1_000_000):
        raw.write_packet(lines[start : start + 1_000_000])
        await raw._writer.drain()
    raw.write_packet(b"")
    await raw._read_packet()
    await raw.query("ROLLBACK")


@way("insert", "aiomysql executemany()")
async def executemany(context: Context) -> None:
    async with context.raw.cursor() as cursor:
        await cursor.executemany(f"INSERT INTO bench_people ({', '.join(NAMES)}) {VALUES}", tuples(context.rows))


@way("update", "aiomysql temporary table and join")
async def temporary(context: Context) -> None:
    await context.raw.query("CREATE TEMPORARY TABLE given (id bigint PRIMARY KEY, name varchar(100), number int)")
    async with context.raw.cursor() as cursor:
        await cursor.executemany("INSERT INTO given (id, name, number) VALUES (%s, %s, %s)", tuples(context.changes))
    await context.raw.query(
        "UPDATE bench_stored s JOIN given g ON s.id = g.id SET s.name = g.name, s.number = g.number"
    )
    await context.raw.query("DROP TEMPORARY TABLE given")


@way("update", "aiomysql JSON_TABLE() and join")
async def json_table(context: Context) -> None:
    # STRAIGHT_JOIN: MariaDB expects 40 rows of any JSON_TABLE() and would read it once for each row of the table.
    sql = """UPDATE JSON_TABLE(%s, '$[*]' COLUMNS
        (id bigint PATH '$[0]', name longtext PATH '$[1]', number longtext PATH '$[2]')) g
        STRAIGHT_JOIN bench_stored s ON s.id = g.id SET s.name = g.name, s.number = g.number"""
    async with context.raw.cursor() as cursor:
        await cursor.execute(sql, (json.dumps(tuples(context.changes)),))


if __name__ == "__main__":
    for module in ("ours", sys.argv[2]):
        __import__(module)
    run(execute, open_own)
