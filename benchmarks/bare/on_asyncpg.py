"""The bare application on asyncpg."""

import os
from collections.abc import Sequence
from typing import Any

import asyncpg
from service import Fetch, Service

pool: Any = None


async def start() -> Fetch:
    global pool
    size = int(os.environ.get("DATABASE_POOL_SIZE", "10"))
    overflow = int(os.environ.get("DATABASE_MAX_OVERFLOW", "10"))
    pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=size, max_size=size + overflow)

    async def fetch(statement: str, value: int) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = await pool.fetch(statement, value)
        return rows

    return fetch


async def stop() -> None:
    await pool.close()


app = Service("$1", start, stop)
