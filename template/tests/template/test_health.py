"""Health: liveness leaves the database alone, readiness asks it by itself, shortly, and once for many."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy import select

from app import extensions
from app.database import Database, ServerGone
from app.health import Readiness
from app.main import create_app
from app.settings import Settings
from app.startup import Probe
from tests.proxy import Proxy, by_way_of, reserved_port
from tests.statements import value


def asking(app: FastAPI) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app=app), base_url="http://test")


def with_database(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"database": settings.database.model_copy(update=changes)})


def probe_of(settings: Settings, url: SecretStr) -> Probe:
    database = with_database(settings, url=url).database
    return Probe(database.target, database)


@pytest.fixture
def closed(settings: Settings) -> Iterator[SecretStr]:
    """The URL of the database with a port where nothing listens."""
    with reserved_port() as port:
        yield by_way_of(settings.database.url, port)


class Check:
    """Counts how often it is asked; fails while `error` is set."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: BaseException | None = None

    async def __call__(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error


async def test_a_process_is_alive_without_a_database(settings: Settings, closed: SecretStr) -> None:
    app = create_app(with_database(settings, url=closed))  # not even started
    async with asking(app) as client:
        response = await client.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_a_service_with_its_database_is_ready(client: AsyncClient) -> None:
    response = await client.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "ready")


async def test_a_service_without_its_database_is_not_ready(settings: Settings, closed: SecretStr) -> None:
    app = create_app(settings)
    app.state.readiness = Readiness([probe_of(settings, closed).check])
    async with asking(app) as client:
        response = await client.get("/health/ready")
    assert response.status_code == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Retry-After"]
    assert response.json()["reason"] == "ServerGone"
    assert "127.0.0.1" not in response.text


@pytest.mark.parametrize("away", [False, True])
async def test_a_replica_that_is_away_is_told_and_does_not_make_the_service_unready(
    away: bool, settings: Settings, closed: SecretStr
) -> None:
    app = create_app(with_database(settings, replica_url=closed if away else settings.database.url))
    async with app.router.lifespan_context(app), asking(app) as client:
        response = await client.get("/health/ready")
    answer = {"status": "ready", "replica": "ServerGone" if away else "ok", "migrations": "current"}
    assert (response.status_code, response.json()) == (200, answer)


async def test_a_service_that_is_not_ready_tells_of_its_replica_too(settings: Settings, closed: SecretStr) -> None:
    proxy = Proxy(settings.database.url)
    proxy.fall_silent()
    async with proxy.listen() as url:
        app = create_app(settings)
        beside: dict[str, Callable[[], Awaitable[None]]] = {"replica": probe_of(settings, url).check, "other": Check()}
        app.state.readiness = Readiness([probe_of(settings, closed).check], beside=beside, timeout=0.2)
        async with asking(app) as client:
            response = await client.get("/health/ready")
    assert response.status_code == 503
    assert [response.json()[name] for name in ("reason", "replica", "other")] == ["ServerGone", "TimeoutError", "ok"]


async def test_a_server_that_never_answers_ends_with_the_limit_of_the_probe(settings: Settings) -> None:
    proxy = Proxy(settings.database.url)
    proxy.fall_silent()
    async with proxy.listen() as url:
        patient = with_database(settings, url=url, connect_timeout=3600)
        readiness = Readiness([Probe(patient.database.target, patient.database).check], timeout=0.05)
        assert await readiness.reason() == "TimeoutError"


async def test_readiness_recovers_with_the_server(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        port = stack.enter_context(reserved_port())
        probe = probe_of(settings, by_way_of(settings.database.url, port))
        stack.push_async_callback(probe.close)
        readiness = Readiness([probe.check], max_age=0)
        assert await readiness.reason() == "ServerGone"
        await stack.enter_async_context(Proxy(settings.database.url).listen(port))
        assert await readiness.reason() is None


async def test_a_question_that_ran_out_of_time_does_not_spoil_the_next(settings: Settings) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        probe = probe_of(settings, url)
        readiness = Readiness([probe.check], timeout=0.2, max_age=0)
        assert await readiness.reason() is None
        proxy.fall_silent()
        assert await readiness.reason() == "TimeoutError"
        proxy.speak_again()
        assert await readiness.reason() is None
        assert proxy.connections == 2
        await probe.close()


async def test_readiness_keeps_its_connection(settings: Settings) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        probe = probe_of(settings, url)
        readiness = Readiness([probe.check], max_age=0)
        for _ in range(3):
            assert await readiness.reason() is None
        assert proxy.connections == 1
        await probe.close()


async def test_fifty_probes_at_once_ask_once() -> None:
    check = Check()
    readiness = Readiness([check])
    assert set(await asyncio.gather(*(readiness.reason() for _ in range(50)))) == {None}
    assert check.asked == 1


async def test_fifty_probes_at_once_fail_once() -> None:
    check = Check()
    check.error = ServerGone()
    readiness = Readiness([check])
    assert set(await asyncio.gather(*(readiness.reason() for _ in range(50)))) == {"ServerGone"}
    assert check.asked == 1


async def test_a_check_of_which_somebody_cancelled_a_part_has_failed() -> None:
    check = Check()
    check.error = asyncio.CancelledError()
    readiness = Readiness([check], beside={"cache": check}, max_age=0)
    assert await readiness.reason() == "CancelledError"
    assert readiness.members() == {"cache": "CancelledError"}
    check.error = None
    assert await readiness.reason() is None


async def test_an_answer_serves_until_it_is_old() -> None:
    check = Check()
    readiness = Readiness([check], max_age=3600)
    assert await readiness.reason() is None
    check.error = ServerGone()
    assert await readiness.reason() is None
    assert check.asked == 1
    always = Readiness([check], max_age=0)
    assert await always.reason() == await always.reason() == "ServerGone"
    check.error = None
    assert await always.reason() is None
    assert check.asked == 4


async def test_a_probe_that_hangs_up_leaves_the_question_to_the_next() -> None:
    asked = asyncio.Event()

    async def never() -> None:
        asked.set()
        await asyncio.Event().wait()

    readiness = Readiness([never], timeout=3600)
    first = asyncio.create_task(readiness.reason())
    await asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    readiness._checks = []
    assert await readiness.reason() is None


async def test_a_full_pool_does_not_make_a_service_unready(settings: Settings) -> None:
    app = create_app(with_database(settings, pool_size=1, max_overflow=1))
    async with app.router.lifespan_context(app):
        database: Database = app.state.database
        full, done = asyncio.Barrier(3), asyncio.Event()

        async def hold() -> None:
            async with database.read() as session:
                await value(session, select(1))
                await full.wait()
                await done.wait()

        holders = [asyncio.create_task(hold()) for _ in range(2)]
        await full.wait()
        status = database.status()
        async with asking(app) as client:
            response = await client.get("/health/ready")
        done.set()
        await asyncio.gather(*holders)
    assert status.in_use == status.places == 2
    assert response.status_code == 200


async def test_a_check_of_the_teams_is_part_of_readiness(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    check = Check()
    check.error = RuntimeError("secret")
    monkeypatch.setattr(extensions, "readiness_checks", [check], raising=False)
    app = create_app(settings)
    async with app.router.lifespan_context(app), asking(app) as client:
        response = await client.get("/health/ready")
        assert (response.status_code, response.json()["reason"]) == (503, "RuntimeError")
        assert "secret" not in response.text
