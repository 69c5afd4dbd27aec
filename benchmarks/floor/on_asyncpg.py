"""The measured routes by hand on asyncpg: its pool, its transactions and its records, and no layer between.

What a careful expert writes for these four routes alone: statements as text, prepared and cached by asyncpg, read
without a transaction, written in one that is committed before the answer, SERIALIZABLE tried again.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import random
from typing import Any

import asyncpg
from fastapi import FastAPI, HTTPException, Request, Response
from schemas import Cursor, Developer, DeveloperCreate, Id, Limit, Moved, Page, Specialty, Transfer, key_of, page_of

ATTEMPTS = 8
COLUMNS = "id, name, email, specialty, created_at, updated_at"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    size = int(os.environ.get("DATABASE_POOL_SIZE", "10"))
    overflow = int(os.environ.get("DATABASE_MAX_OVERFLOW", "10"))
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=size, max_size=size + overflow) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/developers/{id}")
async def read_developer(id: Id, request: Request) -> Developer:
    row = await request.app.state.pool.fetchrow(f"SELECT {COLUMNS} FROM developers WHERE id = $1", id)
    if row is None:
        raise HTTPException(404, f"There is no developer {id}")
    return Developer(**row)


@app.get("/developers")
async def list_developers(
    request: Request, specialty: Specialty | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page:
    conditions: list[str] = []
    values: list[Any] = [limit + 1]
    if specialty is not None:
        values.append(specialty)
        conditions.append(f"specialty = ${len(values)}")
    if cursor is not None:
        values.extend(key_of(cursor))
        name, id = f"${len(values) - 1}", f"${len(values)}"
        conditions.append(f"name >= {name} AND (name > {name} OR id > {id})")
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    rows = await request.app.state.pool.fetch(
        f"SELECT {COLUMNS} FROM developers {where}ORDER BY name, id LIMIT $1", *values
    )
    return page_of([Developer(**row) for row in rows], limit)


@app.post("/developers", status_code=201)
async def create_developer(data: DeveloperCreate, request: Request, response: Response) -> Developer:
    now = datetime.now(UTC)
    try:
        async with request.app.state.pool.acquire() as connection, connection.transaction():
            id = await connection.fetchval(
                "INSERT INTO developers (name, email, specialty, created_at, updated_at) "
                "VALUES ($1, $2, $3, $4, $4) RETURNING id",
                data.name,
                data.email,
                data.specialty,
                now,
            )
    except asyncpg.UniqueViolationError:
        raise HTTPException(409, "There is a developer with this e-mail address") from None
    response.headers["Location"] = str(request.url_for("read_developer", id=id))
    return Developer(id=id, **data.model_dump(), created_at=now, updated_at=now)


@app.post("/notes/transfer")
async def transfer_notes(data: Transfer, request: Request) -> Moved:
    ids = sorted({data.from_developer_id, data.to_developer_id})
    for attempt in range(ATTEMPTS):
        try:
            async with request.app.state.pool.acquire() as connection, connection.transaction(isolation="serializable"):
                locked = await connection.fetch(
                    "SELECT id FROM developers WHERE id = ANY($1) ORDER BY id FOR UPDATE", ids
                )
                if len(locked) < len(ids):
                    raise HTTPException(404, "One of the two developers does not exist")
                tag = await connection.execute(
                    "UPDATE notes SET developer_id = $2 WHERE developer_id = $1",
                    data.from_developer_id,
                    data.to_developer_id,
                )
            return Moved(moved=int(tag.rpartition(" ")[2]))
        except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(0.01 * 2**attempt * random())  # jitter
    raise HTTPException(503, headers={"Retry-After": "1"})
