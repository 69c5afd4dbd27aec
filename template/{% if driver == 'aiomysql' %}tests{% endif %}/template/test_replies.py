"""Replies are read as aiomysql itself reads them, of any size and however they arrive."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiomysql
import pytest
from sqlalchemy import text

from app.database import Database, driver
from app.database.replies import take_packet
from app.settings import Settings
from tests.proxy import Proxy

MakeDatabase = Callable[..., Database]

MANY = """WITH RECURSIVE numbers AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM numbers WHERE i < 300)
    SELECT i, REPEAT('ü', i), NULL AS nothing, i / 7 AS seventh, IF(MOD(i, 2), NULL, X'00FF') AS bytes,
        TIMESTAMP '2024-02-28 23:59:59.25' + INTERVAL i HOUR AS instant, DATE '2024-02-28' + INTERVAL i DAY AS day
    FROM numbers"""
READ: dict[str, str] = {
    "many": MANY,
    "none": f"{MANY} LIMIT 0",
    "one column without a name": "SELECT ''",
    "two of one name": "SELECT 1 AS a, 2 AS a",
    **{f"DATETIME({n})": f"SELECT CAST('2024-02-29 23:59:58.123456' AS DATETIME({n}))" for n in range(7)},
    "the first": "SELECT TIMESTAMP '0001-01-01 00:00:00', DATE '0001-01-01'",
    "the last": "SELECT DATE '9999-12-31', TIMESTAMP '9999-12-31 23:59:59'",
    "no instants": "SELECT CAST('10:00:00.5' AS TIME(1)), '2024-02-30', NULL",
}
# Where a length is written in another way, and where a packet ends and another one follows.
SIZES = [0, 1, 250, 251, 252, 255, 256, 65_535, 65_536, 2**24 - 6, 2**24 - 5, 2**24 - 4, 2**24 + 70_000]


@pytest.fixture
async def plain(settings: Settings) -> AsyncIterator[Any]:
    """A connection of aiomysql's."""
    target = settings.database.target
    ((host, port),) = target.hosts
    options = {
        "host": host,
        "port": port,
        "user": target.user,
        "password": target.password or "",
        "db": target.database,
    }
    async with aiomysql.connect(charset="utf8mb4", ssl=target.ssl_context(), **options) as connection:
        yield connection


@pytest.mark.parametrize(
    ("received", "taken", "left"),
    [
        (b"", None, 0),
        (b"\2\0\0", None, 3),
        (b"\2\0\0\1a", None, 5),
        (b"\2\0\0\1ab", b"ab", 0),
        (b"\2\0\0\1abc", b"ab", 1),
        (b"\0\0\0\1c", b"", 1),
        (b"\2\0\0\2ab", None, 6),  # not the next one: aiomysql knows what that means
        (b"\xff\xff\xff\1" + bytes(2**24), None, 2**24 + 4),  # the first part of a longer one
        (b"\xfe\xff\xff\1" + bytes(2**24), bytes(2**24 - 2), 2),
    ],
    ids=["nothing", "half a head", "half of it", "it", "more", "empty", "another", "a part", "the longest"],
)
async def test_a_packet_is_taken_when_all_of_it_is_there(received: bytes, taken: bytes | None, left: int) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(received)
    assert take_packet(reader, 1) == taken
    reader.feed_eof()
    assert len(await reader.read()) == left


@pytest.mark.parametrize("query", READ.values(), ids=READ)
async def test_rows_and_columns_are_those_of_aiomysql(server: driver.RawConnection, plain: Any, query: str) -> None:
    cursor = await plain.cursor()
    await cursor.execute(query)
    rows = await cursor.fetchall()
    for _ in range(2):  # of columns that were read before, too
        ran = await driver.run(server, query, ())
        assert [*ran.rows] == [*rows]
        assert ran.description == cursor.description


@pytest.mark.parametrize("size", SIZES)
async def test_a_value_of_any_size_is_read_whole(server: driver.RawConnection, size: int) -> None:
    if size > await driver.scalar(server, "SELECT @@max_allowed_packet") - 100:
        pytest.skip("this server sends no such value")
    query = f"SELECT REPEAT('x', {size}), NULL, {size}"
    assert (await driver.run(server, query, ())).rows == (("x" * size, None, size),)
    assert await driver.scalar(server, "SELECT 42") == 42


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 7, 4096])
async def test_a_reply_that_arrives_in_pieces_is_read_whole(
    probe_database: MakeDatabase, settings: Settings, server: driver.RawConnection, piece: int
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(url=url, pool_size=1, max_overflow=0)
        async with database.transaction() as session:
            proxy.piece = piece
            rows = await session.fetch_all(text(MANY))
            streamed = await session._unit.run(MANY, (), driver.stream)
            assert streamed.more is not None
            assert [tuple(row.values()) for row in rows] == [*await streamed.more(1000)]
        await database.close()
    assert [tuple(row.values()) for row in rows] == [*(await driver.run(server, MANY, ())).rows]
