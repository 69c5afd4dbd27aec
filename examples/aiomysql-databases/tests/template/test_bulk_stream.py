"""stream: any number of rows in bounded memory, in pages of a read session each; and the answers made of them."""

import asyncio
import enum
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from httpx import ASGITransport, AsyncClient, RemoteProtocolError
from pydantic import BaseModel
from sqlalchemy import (
    Boolean,
    Column,
    Double,
    Enum,
    Float,
    Integer,
    MetaData,
    Numeric,
    Select,
    Table,
    UniqueConstraint,
    select,
    text,
    union_all,
)
from sqlalchemy.orm import registry
from sqlalchemy.types import TypeEngine
from starlette.responses import StreamingResponse

from app.database import CurrentDatabase, Database, Session, dialect, metrics
from app.database.bulk import bulk_insert, stream
from app.error_handlers import add_problem_handlers
from app.ndjson import ndjson
from app.settings import Settings
from tests.probes import RICH, probe, probes
from tests.statements import created, run
from tests.template.test_metrics import sample

MakeDatabase = Callable[..., Database]

PAGE = 3
service = FastAPI()
add_problem_handlers(service)


class Probe(BaseModel):
    id: int
    name: str


async def pages(database: Database) -> AsyncIterator[Sequence[Probe]]:
    async for page in stream(database, select(probes.c.id, probes.c.name), key=[probes.c.id], page=PAGE):
        yield [Probe(id=row[0], name=row[1]) for row in page]


@service.get("/export")
async def export(database: CurrentDatabase) -> StreamingResponse:
    return await ndjson(pages(database))


@service.get("/endless")
async def endless(request: Request) -> StreamingResponse:
    return await ndjson(request.app.state.endless())


@pytest.fixture
async def filled(probe_database: MakeDatabase) -> Database:
    """A database of one connection and seven pages."""
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        await bulk_insert(session, probes, (probe(id, value=id % 4, **RICH) for id in range(7 * PAGE)))
    service.state.database = database
    return database


async def all_of(pages: AsyncIterator[Sequence[Any]]) -> list[Any]:
    return [row for page in [page async for page in pages] for row in page]


async def test_all_rows_come_once_in_the_order_of_the_key(filled: Database) -> None:
    columns = (probes.c.id, *(probes.c[name] for name in RICH))
    for size in (1, 2, PAGE, 7 * PAGE - 1, 7 * PAGE, 7 * PAGE + 1):
        rows = await all_of(stream(filled, select(*columns), key=[probes.c.id], page=size))
        assert [
            tuple(row[c.name] if hasattr(row, "keys") else getattr(row, c.name) for c in columns) for row in rows
        ] == [(id, *RICH.values()) for id in range(7 * PAGE)]
    some = select(probes.c.id).where(probes.c.value == 1).order_by(probes.c.name.desc())
    assert [row[0] for row in await all_of(stream(filled, some, key=[probes.c.id], page=2))] == [1, 5, 9, 13, 17]
    assert await all_of(stream(filled, some.where(probes.c.id < 0), key=[probes.c.id])) == []


async def test_a_key_may_have_several_columns_and_must_be_unique(filled: Database) -> None:
    with pytest.raises(ValueError, match="value, name is no key of probes"):
        await all_of(stream(filled, select(probes.c.value, probes.c.name), key=[probes.c.value, probes.c.name]))


async def test_rows_that_are_added_or_removed_meanwhile_neither_repeat_nor_hide_others(filled: Database) -> None:
    seen = []
    async for page in stream(filled, select(probes.c.id), key=[probes.c.id], page=PAGE):
        seen += [row[0] for row in page]
        async with filled.transaction() as session:
            await bulk_insert(session, probes, [probe(-len(seen)), probe(100 + len(seen))])
            await run(session, probes.delete().where(probes.c.id == seen[-1]))
        if len(seen) > 40:
            break
    before = [id for id in seen if id < 100]
    assert before == list(range(7 * PAGE))
    assert len(set(seen)) == len(seen)


async def test_no_connection_is_held_between_pages_nor_by_a_stream_that_is_left(filled: Database) -> None:
    streaming = stream(filled, select(probes.c.id), key=[probes.c.id], page=PAGE)
    await anext(streaming)
    assert filled.status().in_use == 0
    async with filled.transaction() as session:  # not nested in one task, and the pool has one connection
        await run(session, select(probes.c.id))
    await anext(streaming)
    del streaming
    assert filled.status().in_use == 0


async def test_a_stream_lasts_longer_than_the_limits_of_each_of_its_units_of_work(
    filled: Database, probe_database: MakeDatabase
) -> None:
    database = probe_database(transaction_timeout=0.5, statement_timeout=0.5)
    started = asyncio.get_running_loop().time()
    rows = 0
    async for page in stream(database, select(probes.c.id), key=[probes.c.id], page=PAGE):
        rows += len(page)
        await asyncio.sleep(0.1)
    assert asyncio.get_running_loop().time() - started > 0.5
    assert rows == 7 * PAGE


@asynccontextmanager
async def no_place_free(database: Database) -> AsyncIterator[None]:
    """Another task holds the only connection, as others do under load."""
    inside, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        try:
            async with database.read() as session:
                await run(session, select(1))
                inside.set()
                await leave.wait()
        finally:  # also when it did not get in
            inside.set()

    holding = asyncio.create_task(hold())
    await inside.wait()
    try:
        yield
    finally:
        leave.set()
        await holding


async def test_a_page_is_asked_for_again_while_the_database_is_unavailable(
    filled: Database, probe_database: MakeDatabase
) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_timeout=1)
    streaming = stream(database, select(probes.c.id), key=[probes.c.id], page=PAGE)
    await anext(streaming)
    async with no_place_free(database):
        before = sample(metrics.refused, "_total")
        asking = asyncio.ensure_future(anext(streaming))
        while sample(metrics.refused, "_total") == before:
            await asyncio.sleep(0.01)
    assert [row[0] for row in await asking] == [3, 4, 5]


async def test_what_fails_before_the_first_page_is_a_problem(probe_database: MakeDatabase) -> None:
    service.state.database = database = probe_database(pool_size=1, max_overflow=0, pool_timeout=1)
    async with AsyncClient(transport=ASGITransport(service), base_url="http://test") as client:
        async with no_place_free(database):
            response = await client.get("/export")
            assert response.status_code == 503
            assert response.json()["type"] == "urn:problem:pool-timeout"
        assert (await client.get("/export")).status_code == 200


@asynccontextmanager
async def serving() -> AsyncIterator[AsyncClient]:
    """A client of the service under a real uvicorn."""
    server = uvicorn.Server(uvicorn.Config(service, port=0, log_config=None, lifespan="off"))
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client
    server.should_exit = True
    await running


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third page fails, for good."""
    fetch_all = Session.fetch_all

    async def fail(session: Session, query: Select[Any]) -> Sequence[Any]:
        if "WHERE" in str(query) and PAGE * 2 - 1 in query.compile().params.values():
            await run(session, text("SELECT nonsense"))
        return await fetch_all(session, query)

    monkeypatch.setattr(Session, "fetch_all", fail)


@pytest.mark.usefixtures("failing", "filled")
async def test_what_fails_later_ends_the_connection_and_never_looks_complete() -> None:
    got = ""
    async with serving() as client:
        with pytest.raises(RemoteProtocolError, match="incomplete"):
            async with client.stream("GET", "/export") as response:
                assert response.status_code == 200
                async for chunk in response.aiter_text():
                    got += chunk
    assert [json.loads(line)["id"] for line in got.splitlines()] == list(range(2 * PAGE))
    assert service.state.database.status().in_use == 0


async def test_a_client_that_reads_slowly_is_waited_for_and_one_that_leaves_ends_the_export(filled: Database) -> None:
    asked = 0
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[Sequence[Probe]]:
        nonlocal asked
        try:
            while True:
                async for page in pages(filled):
                    asked += 1
                    yield [Probe(id=probe.id, name="x" * 100_000) for probe in page]
        finally:
            ended.set()

    service.state.endless = endless
    async with serving() as client, client.stream("GET", "/endless") as response:
        chunks = response.aiter_raw()
        await anext(chunks)
        before = -1
        while before < asked:  # until the buffers on the way are full
            before = asked
            await asyncio.sleep(0.3)
        assert asked < 500
        await response.aclose()
        async with asyncio.timeout(10):
            await ended.wait()
    assert filled.status().in_use == 0


nullable = Table(
    "nullable_keys",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("at", Integer, unique=True),
    UniqueConstraint("id", "at"),
)


@pytest.mark.parametrize("query", [select(probes).limit(3), select(probes).offset(2), select(probes).fetch(3)])
async def test_a_limit_or_an_offset_would_be_those_of_each_page(filled: Database, query: Select[Any]) -> None:
    with pytest.raises(ValueError, match="limit or an offset"):
        await anext(stream(filled, query, key=[probes.c.id], page=PAGE))


other = probes.alias()


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        (select(other), {"key": [other.c.id]}, "a key is columns of a table"),
        (select(probes), {"key": [probes.c.id.desc()]}, "a key is columns of a table"),
        (select(probes), {"key": []}, "a key is columns of a table"),
        (select(probes), {"key": [probes.c.id], "page": 0}, "pages of at least one row"),
        (union_all(select(probes.c.id), select(probes.c.id)), {"key": [probes.c.id]}, "reads a select"),
    ],
    ids=["an alias", "an order", "no key", "no rows", "a union"],
)
async def test_what_has_no_pages_is_refused_before_the_first(
    filled: Database, query: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await anext(stream(filled, query, **options))


async def test_rows_of_one_key_are_refused_as_a_page_could_end_between_them(filled: Database) -> None:
    joined = select(probes.c.id, other.c.name).join_from(probes, other, other.c.id > 0)
    with pytest.raises(ValueError, match="several rows of one key"):
        await anext(stream(filled, joined, key=[probes.c.id], page=PAGE))


async def test_attributes_of_a_mapped_class_are_a_key_too(filled: Database) -> None:
    class Mapped:
        id: Any
        name: Any

    registry().map_imperatively(Mapped, probes)
    mapped: Any = Mapped
    found = await all_of(stream(filled, select(mapped.name, mapped.id), key=[mapped.id], page=PAGE))
    assert [row["id"] for row in found] == sorted(row["id"] for row in found)
    assert len(found) > 2 * PAGE


@pytest.mark.parametrize(
    ("query", "key"),
    [
        (select(nullable), [nullable.c.at]),
        (select(nullable), [nullable.c.id, nullable.c.at]),
        (select(nullable.c.at), [nullable.c.id]),
        (select(nullable.c.id.label("other")), [nullable.c.id]),
    ],
    ids=["may be NULL", "a part may be NULL", "not selected", "selected by another name"],
)
async def test_a_key_that_a_page_cannot_go_on_from_is_refused_before_the_first(
    filled: Database, query: Select[Any], key: list[Column[Any]]
) -> None:
    with pytest.raises(ValueError, match="cannot be in the key"):
        await anext(stream(filled, query, key=key))


class Word(enum.Enum):
    zebra = "zebra"
    apple = "apple"


KEYS: dict[str, tuple[Any, list[Any]]] = {
    "boolean": (Boolean(), [False, True]),
    "native enum": (Enum(Word), [Word.zebra, Word.apple]),
    "enum of text": (Enum(Word, native_enum=False, length=9), [Word.apple, Word.zebra]),
    "float": (Float(), [1 + number / 3 for number in range(6)]),
    "double as a decimal": (Double(asdecimal=True), [Decimal(number) / 10**12 for number in range(1, 7)]),
    "double": (Double(), [1 + number / 3 for number in range(6)]),
    "decimal": (Numeric(9, 3), [Decimal(number) / 8 for number in range(6)]),
}


@pytest.mark.parametrize(("type", "values"), KEYS.values(), ids=KEYS.keys())
async def test_each_row_comes_once_whatever_the_type_of_its_key_or_the_key_is_refused(
    probe_database: MakeDatabase, settings: Settings, type: TypeEngine[Any], values: list[Any]
) -> None:
    keyed = Table(
        "keyed_by", MetaData(), Column("key", type, primary_key=True), Column("id", Integer, primary_key=True)
    )
    async with created(settings.database, keyed):
        database = probe_database()
        async with database.transaction() as session:
            await bulk_insert(session, keyed, [{"key": value, "id": id} for value in values for id in range(5)])
        rows = stream(database, select(keyed), key=[keyed.c.key, keyed.c.id], page=4)
        if dialect.sorts_otherwise(type):
            with pytest.raises(ValueError, match="key cannot be in a key"):
                await anext(rows)
        else:
            found = [tuple(row[:]) async for page in rows for row in page]
            assert len(found) == len(set(found)) == 5 * len(values)
