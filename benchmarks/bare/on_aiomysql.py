"""The bare application on aiomysql."""

import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiomysql
from service import Fetch, Service

pool: Any = None


async def start() -> Fetch:
    global pool
    url = urlsplit(os.environ["DATABASE_URL"])
    size = int(os.environ.get("DATABASE_POOL_SIZE", "10"))
    pool = await aiomysql.create_pool(
        host=url.hostname,
        port=url.port,
        user=url.username,
        password=url.password or "",
        db=url.path[1:],
        charset="utf8mb4",
        autocommit=True,
        init_command="SET SESSION time_zone = '+00:00'",
        minsize=size,
        maxsize=size + int(os.environ.get("DATABASE_MAX_OVERFLOW", "10")),
    )

    async def fetch(statement: str, value: int) -> Sequence[Sequence[Any]]:
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(statement, (value,))
            rows: Sequence[Sequence[Any]] = await cursor.fetchall()
            return rows

    return fetch


async def stop() -> None:
    pool.close()
    await pool.wait_closed()


app = Service("%s", start, stop)
