"""What everybody writes works: dependencies and routes that ask for sessions, with one connection at a time for each
request. The pool has one place, so a second one would be waited for in vain.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Annotated, Any

import pytest
from anyio import create_task_group
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from httpx import ASGITransport, AsyncClient
from sqlalchemy import func, insert, select, text

from app.database import (
    CurrentDatabase,
    Database,
    DatabaseError,
    NestedSession,
    ReadSession,
    Session,
    WriteSession,
    driver,
)
from app.error_handlers import add_problem_handlers
from app.main import create_app
from app.settings import Settings
from tests.probes import probe, probes
from tests.proxy import Proxy
from tests.statements import run, savepoint, value

MakeDatabase = Callable[..., Database]
Route = Callable[..., Awaitable[list[int]]]

ONE: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 20}


async def count(session: Session) -> int:
    number: int = await value(session, select(func.count()).select_from(probes))
    return number


async def add(session: Session) -> None:
    await run(session, insert(probes).values(probe(await count(session) + 1)))


async def add_and_count(session: Session) -> int:
    await add(session)
    return await count(session)


async def current_user(session: ReadSession) -> int:
    return await count(session)


async def tenant(session: ReadSession) -> int:
    return await count(session)


async def member(session: ReadSession, tenant: Annotated[int, Depends(tenant)]) -> int:
    return tenant + await count(session)


async def admin(member: Annotated[int, Depends(member)], session: WriteSession) -> int:
    return member + await add_and_count(session)


async def last_seen(session: WriteSession) -> int:
    return await add_and_count(session)


User = Annotated[int, Depends(current_user)]
Seen = Annotated[int, Depends(last_seen)]
Admin = Annotated[int, Depends(admin)]

# Each answers with what the dependency and the route saw: the numbers of rows in a table that is empty before.


async def nothing(user: User) -> list[int]:
    return [user]


async def reads(user: User, session: ReadSession) -> list[int]:
    return [user, await count(session)]


async def reads_before(session: ReadSession, user: User) -> list[int]:
    return [user, await count(session)]


async def writes(user: User, session: WriteSession) -> list[int]:
    return [user, await add_and_count(session)]


async def writes_before(session: WriteSession, user: User) -> list[int]:
    return [user, await add_and_count(session)]


async def reads_and_writes(user: User, reading: ReadSession, writing: WriteSession) -> list[int]:
    return [user, await count(reading), await add_and_count(writing), await count(reading)]


async def writes_and_reads(writing: WriteSession, reading: ReadSession, user: User) -> list[int]:
    return [
        user,
        await add_and_count(writing),
        await count(reading),
        await add_and_count(writing),
        await count(reading),
    ]


async def runs_a_transaction(user: User, database: CurrentDatabase, session: ReadSession) -> list[int]:
    async def work(writing: Session) -> list[int]:
        return [await add_and_count(writing), await count(session)]

    return [user, *await database.run_transaction(work), await count(session)]


async def runs_a_transaction_beside_a_session_that_writes_later(
    session: WriteSession, user: User, database: CurrentDatabase
) -> list[int]:
    return [user, await database.run_transaction(add_and_count), await add_and_count(session)]


async def opens_units(user: User, session: ReadSession, database: CurrentDatabase) -> list[int]:
    async with database.read() as reading:
        first = [await count(reading), await count(session), await count(reading)]
    async with database.transaction() as writing:
        second = [await count(session), await add_and_count(writing), await count(session)]
    async with database.read(primary=True) as reading:
        return [user, *first, *second, await count(reading), await count(session)]


async def three_deep(user: Admin, reading: ReadSession, writing: WriteSession) -> list[int]:
    return [user, await count(reading), await add_and_count(writing)]


async def user_was_seen(user: Seen, session: ReadSession) -> list[int]:
    return [user, await count(session)]


async def user_was_seen_and_writes(session: WriteSession, user: Seen) -> list[int]:
    return [user, await add_and_count(session)]


async def goes_on_after_a_savepoint_in_which_the_reader_failed(
    writing: WriteSession, reading: ReadSession
) -> list[int]:
    await add(writing)
    with pytest.raises(DatabaseError):
        async with savepoint(writing):
            await value(reading, text("SELECT (SELECT 1 UNION SELECT 2)"))
    return [await add_and_count(writing)]


ANSWERS: dict[Route, list[int]] = {
    goes_on_after_a_savepoint_in_which_the_reader_failed: [2],
    nothing: [0],
    reads: [0, 0],
    reads_before: [0, 0],
    writes: [0, 1],
    writes_before: [0, 1],
    reads_and_writes: [0, 0, 1, 1],
    writes_and_reads: [0, 1, 1, 2, 2],
    runs_a_transaction: [0, 1, 1, 1],
    runs_a_transaction_beside_a_session_that_writes_later: [0, 1, 2],
    opens_units: [0, 0, 0, 0, 0, 1, 1, 1, 1],
    three_deep: [1, 1, 2],
    user_was_seen: [1, 1],
    user_was_seen_and_writes: [1, 2],
}
router = APIRouter(dependencies=[Depends(current_user)])  # as routers have it, and routes again to know who it is


def _add(route: Route) -> None:
    async def over_a_websocket(socket: WebSocket, answer: Annotated[list[int], Depends(route)]) -> None:
        await socket.accept()
        await socket.send_json(answer)
        await socket.close()

    router.add_api_route(f"/{route.__name__}", route, methods=["POST"])
    router.add_api_websocket_route(f"/{route.__name__}", over_a_websocket)


for _route in ANSWERS:
    _add(_route)


@router.websocket("/talk")
async def talk(socket: WebSocket, user: User, session: ReadSession, database: CurrentDatabase) -> None:
    await socket.accept()
    async for said in socket.iter_text():
        if said == "write":
            await database.run_transaction(add)
        await socket.send_text(str(await count(session)))


@router.post("/fails")
async def fails(user: Seen, session: WriteSession) -> None:
    await add(session)
    raise HTTPException(418)


@router.post("/nests")
async def nests(user: Seen, database: CurrentDatabase) -> None:
    await database.run_transaction(add)


@router.post("/uses_the_wrong_session")
async def uses_the_wrong_session(session: WriteSession, database: CurrentDatabase) -> None:
    async def work(mine: Session) -> None:
        await add(mine)
        with pytest.raises(NestedSession):
            await add(session)

    await database.run_transaction(work)


without_user = APIRouter()


@without_user.post("/never_asks")
async def never_asks(number: int, reading: ReadSession, writing: WriteSession, database: CurrentDatabase) -> None:
    async with database.transaction(), database.of_request(writing=False):
        pass


@without_user.websocket("/never_asks")
async def never_asks_by_websocket(socket: WebSocket, number: int, reading: ReadSession, writing: WriteSession) -> None:
    await socket.accept()
    await socket.close()


service = FastAPI()
add_problem_handlers(service)
service.include_router(router)
service.include_router(without_user)


async def websocket(app: FastAPI, path: str, *texts: str, query: str = "") -> list[str]:
    """Say each of the texts after the answer to the one before; what was answered."""
    messages: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    to_say, answers = list(texts), list[str]()

    def say() -> None:
        left = {"type": "websocket.disconnect", "code": 1000}
        messages.put_nowait({"type": "websocket.receive", "text": to_say.pop(0)} if to_say else left)

    async def send(message: Any) -> None:
        if message["type"] == "websocket.send":
            answers.append(message["text"])
        if message["type"] in ("websocket.send", "websocket.accept"):
            say()

    messages.put_nowait({"type": "websocket.connect"})
    scope = {"type": "websocket", "path": path, "query_string": query.encode(), "headers": [], "subprotocols": []}
    await app(scope, messages.get, send)
    return answers


async def post(app: FastAPI, path: str) -> Any:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        return await client.post(path)


@pytest.fixture
async def database(probe_database: MakeDatabase) -> Database:
    service.state.database = probe_database(**ONE)
    return service.state.database  # type: ignore[no-any-return]


@pytest.mark.parametrize("route", ANSWERS, ids=lambda route: route.__name__)
async def test_a_route_gets_what_it_asks_for_and_a_request_has_one_connection_at_a_time(
    probe_database: MakeDatabase, settings: Settings, route: Route
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:  # places for more: none is taken
        service.state.database = database = probe_database(url=url, pool_size=5)
        response = await post(service, f"/{route.__name__}")
        assert (response.status_code, response.json()) == (200, ANSWERS[route])
        assert proxy.connections == 1
        assert database.status().in_use == 0
        await database.close()


async def test_many_requests_of_all_kinds_at_once_share_one_connection(database: Database) -> None:
    responses = await asyncio.gather(*(post(service, f"/{route.__name__}") for route in ANSWERS for _ in range(3)))
    assert {response.status_code for response in responses} == {200}
    assert (database.status().in_use, database.status().open) == (0, 1)


@pytest.mark.parametrize("route", ANSWERS, ids=lambda route: route.__name__)
async def test_a_websocket_gets_the_same(database: Database, route: Route) -> None:
    assert await websocket(service, f"/{route.__name__}") == [str(ANSWERS[route]).replace(" ", "")]
    assert (database.status().in_use, database.status().open) == (0, 1)


async def test_many_sockets_keep_no_connection_between_their_messages(database: Database) -> None:
    together = asyncio.Barrier(10)
    app = FastAPI()
    app.state.database = database

    @app.websocket("/")
    async def wait(socket: WebSocket, user: User, session: ReadSession, database: CurrentDatabase) -> None:
        await socket.accept()
        async for _ in socket.iter_text():
            await count(session)
            await together.wait()  # each has asked, and the pool has one place
            assert database.status().in_use == 0
            await together.wait()
            await socket.send_text(str(await count(session)))

    answers = await asyncio.gather(*(websocket(app, "/", "a", "b") for _ in range(10)))
    assert answers == [["0", "0"]] * 10


async def test_a_websocket_sees_what_it_wrote_message_by_message(database: Database) -> None:
    assert await websocket(service, "/talk", "read", "write", "read", "write") == ["0", "1", "1", "2"]
    assert database.status().in_use == 0


async def test_a_dependency_that_writes_is_undone_with_its_route(
    database: Database, server: driver.RawConnection
) -> None:
    assert (await post(service, "/fails")).status_code == 418
    assert await driver.scalar(server, "SELECT count(*) FROM probes") == 0
    assert database.status().in_use == 0


async def test_a_transaction_inside_an_open_one_is_refused_at_once(
    database: Database, server: driver.RawConnection
) -> None:
    response = await post(service, "/nests")
    assert (response.status_code, response.json()["type"]) == (500, "urn:problem:nested-session")
    assert await driver.scalar(server, "SELECT count(*) FROM probes") == 0
    assert database.status().in_use == 0


async def test_a_session_that_writes_does_not_write_in_the_transaction_of_another(
    database: Database, server: driver.RawConnection
) -> None:
    assert (await post(service, "/uses_the_wrong_session")).status_code == 200
    assert await driver.scalar(server, "SELECT count(*) FROM probes") == 1


async def test_the_place_at_the_replica_is_given_back_before_one_at_the_primary_is_taken(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    database = probe_database(replica_url=settings.database.url, **ONE)
    app = FastAPI()
    app.state.database = database

    def in_use() -> dict[str, int]:
        return {pool: status.in_use for pool, status in database.statuses().items()}

    @app.post("/")
    async def both(writing: WriteSession, user: User, reading: ReadSession) -> list[int]:
        assert in_use() == {"primary": 1, "replica": 1}  # the primary's is somebody else's
        asked.set()
        numbers = [user, await add_and_count(writing)]
        assert in_use() == {"primary": 1, "replica": 0}
        return [*numbers, await count(reading)]

    asked = asyncio.Event()
    async with database.read(primary=True) as other:
        await count(other)
        request = asyncio.create_task(post(app, "/"))
        await asked.wait()
        while not database.statuses()["primary"].waiting:
            await asyncio.sleep(0)
        assert in_use() == {"primary": 1, "replica": 0}
    assert (await request).json() == [0, 1, 1]
    assert in_use() == {"primary": 0, "replica": 0}


async def test_a_request_that_never_asks_costs_no_place_and_no_round_trip(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        service.state.database = database = probe_database(url=url, **ONE)
        for _ in range(2):  # with a database that was never used, and with one that was
            before = (proxy.connections, proxy.round_trips)
            assert (await post(service, "/never_asks?number=many")).status_code == 422
            assert (await post(service, "/never_asks?number=1")).status_code == 200
            await websocket(service, "/never_asks", query="number=1")
            for unit in (database.read, database.transaction):
                async with unit():
                    assert database.status().in_use == 0
            assert await database.run_transaction(lambda session: asyncio.sleep(0, 7)) == 7
            with pytest.raises(LookupError):
                async with database.transaction():
                    raise LookupError
            assert (proxy.connections, proxy.round_trips) == before
            async with database.transaction() as session:
                await count(session)
        await database.close()


async def test_work_before_the_first_statement_holds_no_connection(database: Database) -> None:
    app = FastAPI()
    app.state.database = database
    together = asyncio.Barrier(5)

    @app.post("/")
    async def work(request: Request, writing: WriteSession, reading: ReadSession) -> int:
        await together.wait()
        assert database.status().in_use == 0
        await together.wait()
        return await count(reading) + await count(writing)

    responses = await asyncio.gather(*(post(app, "/") for _ in range(5)))
    assert [response.status_code for response in responses] == [200] * 5


@pytest.fixture
def one_connection(settings: Settings, probe_database: MakeDatabase) -> Settings:
    """The service's settings with a pool of one, the probes' table being there."""
    return settings.model_copy(update={"database": settings.database.model_copy(update=ONE)})


async def test_an_application_that_is_mounted_has_the_database_of_the_outer_one(one_connection: Settings) -> None:
    inner, innermost, app = FastAPI(), FastAPI(), create_app(one_connection)
    innermost.include_router(router)
    inner.include_router(router)
    inner.mount("/sub", innermost)
    app.mount("/sub", inner)
    async with app.router.lifespan_context(app):
        for number, path in enumerate(("/sub", "/sub/sub")):
            response = await post(app, f"{path}/writes_and_reads")
            assert response.json() == [2 * number + add for add in (0, 1, 1, 2, 2)]
        assert await websocket(app, "/sub/reads") == ["[4,4]"]
        assert (await post(app, "/sub/fails")).status_code == 418
        assert (app.state.database.status().in_use, app.state.database.status().open) == (0, 1)


async def test_two_applications_in_one_process_have_a_database_each(one_connection: Settings) -> None:
    apps = [create_app(one_connection), create_app(one_connection)]
    async with AsyncExitStack() as stack:
        for app in apps:
            app.include_router(router)
            await stack.enter_async_context(app.router.lifespan_context(app))
        assert [(await post(app, "/writes")).json() for app in apps] == [[0, 1], [1, 2]]
        assert [app.state.database.status().open for app in apps] == [1, 1]
        for app in apps:
            async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
                shown = await client.get("/metrics")
            assert shown.status_code == 200
            assert 'database_pool_places{pool="primary"} 2.0' in shown.text  # of both, as the process's


async def test_a_dependency_with_yield_ends_although_its_request_was_cancelled(database: Database) -> None:
    """Before FastAPI 0.162.7 a cancelled scope, as anyio's and middleware's, broke off what stands behind the yield."""
    under_way, ended = asyncio.Event(), list[int]()

    async def last_words(database: CurrentDatabase) -> AsyncIterator[None]:
        try:
            yield
        finally:
            async with database.read() as session:
                ended.append(await count(session))

    async def never_ends(session: WriteSession) -> None:
        await add(session)
        under_way.set()
        await asyncio.Event().wait()

    app = FastAPI()
    app.state.database = database
    app.add_api_route("/", never_ends, methods=["POST"], dependencies=[Depends(last_words)])
    async with create_task_group() as tasks:
        tasks.start_soon(post, app, "/")
        await under_way.wait()
        tasks.cancel_scope.cancel()
    assert ended == [0]
    async with database.read() as session:
        assert await count(session) == 0
