"""Start and stop: the service waits for its server, says in one sentence why it cannot start, ends what it began."""

import asyncio
import http.client
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app import startup
from app.connection_limit import warn_if_too_many
from app.database import Database, driver
from app.lifespan import CannotStart
from app.main import create_app
from app.settings import Settings
from app.startup import CannotConnect, wait_for_server
from tests import facts
from tests.processes import Process, port_of, prepare
from tests.proxy import Proxy, by_way_of, reserved_port
from tests.statements import value
from tests.urls import replaced

prepare()

SECRET = "s3cret-p%40ss"
# A service with a route that takes its time, as a team writes one.
SLOW_SERVICE = """
import asyncio
from pathlib import Path

from sqlalchemy import select

from app.database import CurrentDatabase
from app.main import create_app
from tests.statements import value

app = create_app()


@app.get("/slow")
async def slow(database: CurrentDatabase) -> int:
    print("in flight", flush=True)
    while not Path("finish").exists():
        await asyncio.sleep(0.01)
    async with database.read() as session:
        return await value(session, select(42))
"""


def with_database(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"database": settings.database.model_copy(update=changes)})


def as_nobody(url: SecretStr) -> str:
    """The URL with a user whom no server knows, and with a password that nobody may see."""
    return replaced(url.get_secret_value(), "userinfo", f"nobody-of-that-name:{SECRET}")


def uvicorn(*arguments: str, folder: Path, **variables: str) -> Process:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **variables}
    return Process("uvicorn", *arguments, "--port", "0", folder=folder, environment=environment)


def connected(port: int) -> http.client.HTTPConnection:
    """A connection to a server whose workers may not listen yet, although it says that it runs."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(3000):
        with suppress(ConnectionRefusedError):
            connection.connect()
            return connection
        time.sleep(0.01)
    raise AssertionError("nobody listens")


@pytest.fixture
def closed(settings: Settings) -> Iterator[SecretStr]:
    """The URL of the database with a port where nothing listens."""
    with reserved_port() as port:
        yield by_way_of(settings.database.url, port)


async def test_the_start_waits_for_a_server_that_comes_up_late(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        port = stack.enter_context(reserved_port())
        proxy = Proxy(settings.database.url)
        app = create_app(with_database(settings, url=by_way_of(settings.database.url, port), startup_timeout=60))

        async def serve() -> str | None:
            async with app.router.lifespan_context(app):
                reason: str | None = await app.state.readiness.reason()
                return reason

        serving = asyncio.create_task(serve())
        while "retry" not in caplog.text and not serving.done():
            await asyncio.sleep(0.01)
        await stack.enter_async_context(proxy.listen(port))
        assert await serving is None
        assert proxy.connections == 2  # the first question and the probe


@pytest.mark.parametrize("limit", [0, 0.1])
async def test_the_start_gives_up_after_its_limit(limit: float, settings: Settings, closed: SecretStr) -> None:
    app = create_app(with_database(settings, url=closed, startup_timeout=limit))
    address = rf"127\.0\.0\.1:\d+, database {re.escape(settings.database.target.database)}"
    with pytest.raises(CannotStart, match=rf"^The database server cannot be reached: {address} \(.+\)$"):
        async with asyncio.timeout(10), app.router.lifespan_context(app):
            pass


@pytest.mark.usefixtures("no_pooler")
async def test_the_start_does_not_wait_for_a_password_to_become_right(settings: Settings) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        app = create_app(with_database(settings, url=SecretStr(as_nobody(url)), startup_timeout=3600))
        with pytest.raises(CannotStart, match="refuses the user, the password or the database"):
            async with asyncio.timeout(10), app.router.lifespan_context(app):
                pass
    assert proxy.connections == 1


@pytest.mark.parametrize("fault", ["value", "missing", "unreachable", "refused"])
def test_a_process_that_cannot_start_ends_with_one_sentence(
    fault: str, settings: Settings, closed: SecretStr, tmp_path: Path
) -> None:
    if fault == "refused" and settings.database.external_pooler:
        pytest.skip("a pooler lets in whom the server would refuse, or answers in words of its own")
    variables, sentence = {
        "value": (
            {"DATABASE_URL": as_nobody(closed), "DATABASE_POOL_SIZE": "abc"},
            "DATABASE_POOL_SIZE cannot be used: Input should be a valid integer",
        ),
        "missing": ({}, "DATABASE_URL is not set"),
        "unreachable": (
            {"DATABASE_URL": as_nobody(closed), "DATABASE_STARTUP_TIMEOUT": "0"},
            "The database server cannot be reached: 127.0.0.1:",
        ),
        "refused": (
            {"DATABASE_URL": as_nobody(settings.database.url)},
            "The database server refuses the user, the password or the database: ",
        ),
    }[fault]
    with uvicorn("app.main:app", folder=tmp_path, **variables) as process:
        assert process.exit_code() == 3  # uvicorn's for a failed start
        output = process.output
    failed, exiting = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert failed["level"] == "ERROR"
    assert failed["message"].startswith(sentence)
    assert "\n" not in failed["message"]
    assert exiting["message"] == "Application startup failed. Exiting."
    assert "Traceback" not in output
    assert SECRET not in output
    assert unquote(SECRET) not in output


@pytest.mark.parametrize(("options", "lines"), [((), 1), (("--no-access-log",), 0)])
def test_requests_are_logged_unless_the_server_is_told_not_to(
    options: tuple[str, ...], lines: int, settings: Settings, tmp_path: Path
) -> None:
    url = settings.database.url.get_secret_value()
    with uvicorn("app.main:app", *options, folder=tmp_path, DATABASE_URL=url) as process:
        port = port_of(process)
        with closing(connected(port)) as connection:
            connection.request("GET", "/openapi.json")
            assert connection.getresponse().status == 200
        process.terminate()
        process.says("Shutting down")
        process.exit_code()
        assert process.output.count("GET /openapi.json 200 in ") == lines
        assert process.output.count("/openapi.json") == 2 * lines  # in the message and as a member, and by nobody else


@pytest.mark.parametrize("workers", [1, 2])
def test_a_request_in_flight_is_finished_before_the_process_stops(
    workers: int, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "slow_service.py").write_text(SLOW_SERVICE)
    url = settings.database.url.get_secret_value()
    given = {"DATABASE_URL": url, "LOG_LEVEL": "INFO,app.requests=INFO"}  # whatever a team sets in its workers
    with uvicorn("slow_service:app", "--workers", str(workers), folder=tmp_path, **given) as process:
        port = port_of(process)
        with closing(connected(port)) as connection:
            connection.request("GET", "/slow", headers={"X-Request-ID": "in-flight"})
            process.says("in flight")
            process.terminate()
            process.says("Waiting for connections to close|Shutting down")
            (tmp_path / "finish").touch()
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"42")
        assert process.exit_code() in (0, -signal.SIGTERM)
        records = [json.loads(line) for line in process.output.splitlines() if line.startswith("{")]
    (access,) = (record for record in records if "GET /slow" in record["message"])
    assert (access["request_id"], access["level"]) == ("in-flight", "INFO")
    assert "Traceback" not in process.output
    if not settings.database.external_pooler:  # which keeps its own
        assert asyncio.run(_connections_left(settings)) == 0


@pytest.mark.usefixtures("no_pooler")
async def test_a_stopped_service_leaves_no_connection(settings: Settings) -> None:
    app = create_app(with_database(settings, pool_size=2, max_overflow=1))
    async with app.router.lifespan_context(app):
        database: Database = app.state.database
        all_inside = asyncio.Barrier(3)

        async def work() -> None:
            async with database.read() as session:
                await value(session, select(1))
                await all_inside.wait()

        await asyncio.gather(work(), work(), work())
        assert await app.state.readiness.reason() is None
        assert database.status().open == 3
    assert await _connections_left(settings) == 0


async def _connections_left(settings: Settings) -> int:
    """How many connections to the database others keep; a server takes a moment to see that one was closed."""
    connection = await driver.connect(settings.database.target, settings.database)
    try:
        for _ in range(500):
            if not (left := await facts.connections(connection) - 1):
                break
            await asyncio.sleep(0.01)
        return left
    finally:
        await driver.close(connection)


@pytest.mark.usefixtures("no_pooler")
async def test_connections_that_do_not_fit_in_the_server_are_warned_of(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    small = settings.database.model_copy(update={"pool_size": 1, "max_overflow": 0})
    await wait_for_server(small, workers=1)
    await wait_for_server(small.model_copy(update={"external_pooler": True}), workers=1_000_000)
    assert not caplog.records
    await wait_for_server(small, workers=1_000_000)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    for part in ("1000000 workers", "pool_size 1", "max_overflow 0", "WEB_CONCURRENCY", "the server's limit of "):
        assert part in record.getMessage()
    caplog.clear()
    await wait_for_server(small.model_copy(update={"pool_size": 1_000_000}), workers=1)
    await wait_for_server(small.model_copy(update={"max_overflow": 1_000_000}), workers=1)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


@pytest.mark.parametrize("lost", ["DATABASE_URL", "DATABASE_REPLICA_URL"])
async def test_a_server_that_is_lost_while_the_start_asks_it_something_is_as_one_that_does_not_answer(
    settings: Settings, lost: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def ask(connection: driver.RawConnection, name: str, *arguments: Any) -> None:
        asked.append(name)
        if name == lost and asked.count(name) == 1:
            driver.terminate(connection)
        await warn_if_too_many(connection, name, *arguments)

    monkeypatch.setattr(startup, "warn_if_too_many", ask)
    with_replica = {"replica_url": settings.database.url, "startup_timeout": 30}
    await wait_for_server(settings.database.model_copy(update=with_replica), workers=1)
    if lost == "DATABASE_URL":  # which is asked again
        assert asked == ["DATABASE_URL", "DATABASE_URL", "DATABASE_REPLICA_URL"]
        assert "does not answer" not in caplog.text
    else:
        assert asked == ["DATABASE_URL", "DATABASE_REPLICA_URL"]
        assert "The replica does not answer: The database server cannot be reached" in caplog.text


@pytest.mark.usefixtures("no_pooler")
async def test_a_question_of_the_start_that_the_server_refuses_is_one_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "CONNECTION_LIMIT", "SELECT no_such_column")
    with pytest.raises(CannotConnect, match="a column that the database does not have"):
        await wait_for_server(settings.database, workers=1)


@pytest.mark.usefixtures("no_pooler")
async def test_the_connections_to_a_replica_are_compared_with_its_own_limit(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    small = {"pool_size": 1, "max_overflow": 0, "replica_url": settings.database.url}
    await wait_for_server(settings.database.model_copy(update=small), workers=1_000_000)
    names = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert names == ["DATABASE_URL", "DATABASE_REPLICA_URL"]


async def test_a_replica_that_does_not_answer_does_not_stop_the_start(
    settings: Settings, closed: SecretStr, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(with_database(settings, replica_url=closed))
    async with app.router.lifespan_context(app):
        pass
    assert "The replica does not answer: The database server cannot be reached" in caplog.text


@pytest.mark.usefixtures("no_pooler")
async def test_the_workers_of_the_environment_count_in_the_budget(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings.model_copy(update={"web_concurrency": 1_000_000}))
    async with app.router.lifespan_context(app):
        assert "1000000 workers" in caplog.text
