"""The measured routes by hand on aiomysql: its pool, its transactions and its cursors, and no layer between.

What a careful expert writes for these four routes alone: autocommit for reading, a transaction for writing that is
committed before the answer, SERIALIZABLE in the same round trip as its START TRANSACTION and tried again.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import random
from typing import Any
from urllib.parse import urlsplit

import aiomysql
import pymysql
from fastapi import FastAPI, HTTPException, Request, Response
from pymysql.constants import CLIENT
from schemas import Cursor, Developer, DeveloperCreate, Id, Limit, Moved, Page, Specialty, Transfer, key_of, page_of

ATTEMPTS = 8
MET_ANOTHER = (1205, 1213)  # lock wait timeout, deadlock
DUPLICATE = 1062
COLUMNS = "id, name, email, specialty, created_at, updated_at"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = urlsplit(os.environ["DATABASE_URL"])
    size = int(os.environ.get("DATABASE_POOL_SIZE", "10"))
    overflow = int(os.environ.get("DATABASE_MAX_OVERFLOW", "10"))
    pool = await aiomysql.create_pool(
        host=url.hostname,
        port=url.port,
        user=url.username,
        password=url.password or "",
        db=url.path[1:],
        charset="utf8mb4",
        autocommit=True,
        client_flag=CLIENT.FOUND_ROWS,
        init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION time_zone = '+00:00'",
        minsize=size,
        maxsize=size + overflow,
    )
    app.state.pool = pool
    yield
    pool.close()
    await pool.wait_closed()


app = FastAPI(lifespan=lifespan)


@asynccontextmanager
async def transaction(request: Request, start: str = "START TRANSACTION") -> AsyncIterator[Any]:
    async with request.app.state.pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(start)
        try:
            yield cursor
            await connection.commit()
        except BaseException:
            await connection.rollback()
            raise


def developer(row: tuple[Any, ...]) -> Developer:
    id, name, email, specialty, created_at, updated_at = row
    return Developer(
        id=id,
        name=name,
        email=email,
        specialty=specialty,
        created_at=created_at.replace(tzinfo=UTC),
        updated_at=updated_at.replace(tzinfo=UTC),
    )


@app.get("/developers/{id}")
async def read_developer(id: Id, request: Request) -> Developer:
    async with request.app.state.pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(f"SELECT {COLUMNS} FROM developers WHERE id = %s", (id,))
        row = await cursor.fetchone()
    if row is None:
        raise HTTPException(404, f"There is no developer {id}")
    return developer(row)


@app.get("/developers")
async def list_developers(
    request: Request, specialty: Specialty | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page:
    conditions: list[str] = []
    values: list[Any] = []
    if specialty is not None:
        conditions.append("specialty = %s")
        values.append(specialty)
    if cursor is not None:
        name, id = key_of(cursor)
        conditions.append("name >= %s AND (name > %s OR id > %s)")
        values += [name, name, id]
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    async with request.app.state.pool.acquire() as connection, connection.cursor() as rows:
        await rows.execute(f"SELECT {COLUMNS} FROM developers {where}ORDER BY name, id LIMIT %s", (*values, limit + 1))
        return page_of([developer(row) for row in await rows.fetchall()], limit)


@app.post("/developers", status_code=201)
async def create_developer(data: DeveloperCreate, request: Request, response: Response) -> Developer:
    now = datetime.now(UTC)
    naive = now.replace(tzinfo=None)  # DATETIME has no zone, and MySQL refuses an offset in the text
    try:
        async with transaction(request) as cursor:
            await cursor.execute(
                "INSERT INTO developers (name, email, specialty, created_at, updated_at) VALUES (%s, %s, %s, %s, %s)",
                (data.name, data.email, data.specialty, naive, naive),
            )
            id = cursor.lastrowid
    except pymysql.err.IntegrityError as error:
        if error.args[0] != DUPLICATE:
            raise
        raise HTTPException(409, "There is a developer with this e-mail address") from None
    response.headers["Location"] = str(request.url_for("read_developer", id=id))
    return Developer(id=id, **data.model_dump(), created_at=now, updated_at=now)


@app.post("/notes/transfer")
async def transfer_notes(data: Transfer, request: Request) -> Moved:
    ids = sorted({data.from_developer_id, data.to_developer_id})
    marks = ", ".join(["%s"] * len(ids))  # PyMySQL 1.2.3 takes no list for a parameter
    start = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; START TRANSACTION"
    for attempt in range(ATTEMPTS):
        try:
            async with transaction(request, start) as cursor:
                await cursor.execute(f"SELECT id FROM developers WHERE id IN ({marks}) ORDER BY id FOR UPDATE", ids)
                if len(await cursor.fetchall()) < len(ids):
                    raise HTTPException(404, "One of the two developers does not exist")
                moved = await cursor.execute(
                    "UPDATE notes SET developer_id = %s WHERE developer_id = %s",
                    (data.to_developer_id, data.from_developer_id),
                )
            return Moved(moved=moved)
        except pymysql.err.OperationalError as error:
            if error.args[0] not in MET_ANOTHER:
                raise
            await asyncio.sleep(0.01 * 2**attempt * random())  # jitter
    raise HTTPException(503, headers={"Retry-After": "1"})
