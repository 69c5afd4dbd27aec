"""Work that outlives the request opens a session of its own; the request's refuses instead of leaking."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
from fastapi import BackgroundTasks, FastAPI, WebSocket
from httpx import ASGITransport, AsyncClient
from sqlalchemy import func, insert, select
from starlette.responses import StreamingResponse

from app.database import CurrentDatabase, Database, ReadSession, StatementRefused, WriteSession, driver
from app.error_handlers import add_problem_handlers
from app.settings import Settings
from tests.probes import probe, probes
from tests.statements import rows, run, value

MakeDatabase = Callable[..., Database]

OF_ANOTHER_LOOP = "^A Database serves the event loop that used it first: make one for this loop$"

refused: list[str] = []
service = FastAPI()
add_problem_handlers(service)


@service.post("/own")
async def background_task_with_a_session_of_its_own(tasks: BackgroundTasks, database: CurrentDatabase) -> None:
    async def work() -> None:
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))

    tasks.add_task(work)


@service.post("/requests")
async def background_task_with_the_requests_session(tasks: BackgroundTasks, session: WriteSession) -> None:
    async def work() -> None:
        with pytest.raises(Exception, match="closed") as caught:
            await run(session, insert(probes).values(probe(1)))
        refused.append(str(caught.value))

    tasks.add_task(work)


@service.get("/stream")
async def stream(database: CurrentDatabase) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        last = -1
        while True:
            async with database.read() as session:  # a page each: a slow client holds no connection
                query = select(probes.c.id).where(probes.c.id > last).order_by(probes.c.id).limit(2)
                page = await rows(session, query)
            if not page:
                return
            for (last,) in page:
                yield f"{last}\n"

    return StreamingResponse(lines())


@service.get("/stream/requests")
async def stream_with_the_requests_session(session: ReadSession) -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        with pytest.raises(Exception, match="closed") as caught:
            await value(session, select(func.count()).select_from(probes))
        refused.append(str(caught.value))
        yield "refused\n"

    return StreamingResponse(lines())


@service.websocket("/socket")
async def socket(socket: WebSocket, database: CurrentDatabase) -> None:
    await socket.accept()
    async for _ in socket.iter_text():
        async with database.read() as session:  # for one message
            count = await value(session, select(func.count()).select_from(probes))
        await socket.send_text(str(count))


@pytest.fixture
async def database(probe_database: MakeDatabase) -> Database:
    refused.clear()
    service.state.database = probe_database(pool_size=1, max_overflow=0)
    return service.state.database  # type: ignore[no-any-return]


@pytest.fixture
async def client(database: Database) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(transport=ASGITransport(service), base_url="http://test") as client:
        yield client


async def test_a_background_task_commits_in_a_session_of_its_own(
    client: AsyncClient, database: Database, server: driver.RawConnection
) -> None:
    assert (await client.post("/own")).status_code == 200
    assert await driver.scalar(server, "SELECT count(*) FROM probes") == 1


@pytest.mark.parametrize(("method", "path"), [("POST", "/requests"), ("GET", "/stream/requests")])
async def test_the_requests_session_is_refused_after_the_request(
    client: AsyncClient, database: Database, method: str, path: str
) -> None:
    assert (await client.request(method, path)).status_code == 200
    assert len(refused) == 1
    assert database.status().in_use == 0
    async with database.read() as session:
        assert await value(session, select(func.count()).select_from(probes)) == 0


async def test_a_stream_reads_page_by_page_and_holds_no_connection_between(
    client: AsyncClient, database: Database
) -> None:
    async with database.transaction() as session:
        for id in range(5):
            await run(session, insert(probes).values(probe(id)))
    assert (await client.get("/stream")).text == "0\n1\n2\n3\n4\n"
    assert database.status().in_use == 0


async def test_websockets_share_one_connection_message_by_message(database: Database) -> None:
    """Ten sockets on a pool of one: a session for the whole connection would keep nine of them waiting."""

    async def talk() -> list[str]:
        messages: asyncio.Queue[Mapping[str, object]] = asyncio.Queue()
        answers: list[str] = []
        for message in ({"type": "websocket.connect"}, *[{"type": "websocket.receive", "text": "?"}] * 3):
            messages.put_nowait(message)

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "websocket.send":
                answers.append(str(message["text"]))
                if len(answers) == 3:
                    messages.put_nowait({"type": "websocket.disconnect", "code": 1000})

        scope = {"type": "websocket", "path": "/socket", "query_string": b"", "headers": [], "subprotocols": []}
        await service(scope, messages.get, send)  # type: ignore[arg-type]
        return answers

    assert await asyncio.gather(*(talk() for _ in range(10))) == [["0", "0", "0"]] * 10
    assert database.status().in_use == 0


async def unit(database: Database) -> None:
    async with database.read() as session:
        await value(session, select(1))


async def test_a_database_is_of_one_event_loop_and_says_so_in_another(database: Database) -> None:
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))  # its connection is there, and the pool has no other
        for elsewhere in (unit(database), value(session, select(1)), database.close()):
            with pytest.raises(StatementRefused, match=OF_ANOTHER_LOOP):
                await asyncio.to_thread(asyncio.run, elsewhere)
        await run(session, insert(probes).values(probe(2)))
    async with database.transaction() as session:  # its connection is not there yet
        with pytest.raises(StatementRefused, match=OF_ANOTHER_LOOP):
            await asyncio.to_thread(asyncio.run, value(session, select(1)))
        await run(session, insert(probes).values(probe(3)))
    async with database.read() as session:
        assert await value(session, select(func.count()).select_from(probes)) == 3
    assert database.status().in_use == 0


def test_a_database_whose_event_loop_has_ended_says_so_in_the_next(settings: Settings) -> None:
    database = Database(settings.database)

    async def whole() -> None:
        await unit(database)
        await database.close()

    asyncio.run(whole())
    for again in (unit(database), database.close()):
        with pytest.raises(StatementRefused, match=OF_ANOTHER_LOOP):
            asyncio.run(again)
