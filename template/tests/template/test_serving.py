"""`python -m app` as operators run it: how it ends, workers that die, signals, idle connections, nowhere to write."""

import asyncio
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from websockets.sync.client import connect

from app.__main__ import DEFAULTS, FAILED_START, workers_of
from app.database import driver
from app.settings import Settings
from tests import facts
from tests.processes import Process, of_the_team, port_of, prepare
from tests.urls import replaced

prepare()

SERVING = "Application startup complete"
# A service with a request that never ends by itself.
ENDLESS_SERVICE = """
import asyncio

from sqlalchemy import select

from app.database import CurrentDatabase
from app.main import create_app
from tests.statements import value

app = create_app()


@app.get("/endless")
async def endless(database: CurrentDatabase) -> None:
    async with database.transaction() as session:
        await value(session, select(1))
        print("in flight", flush=True)
        await asyncio.Event().wait()
"""
# A service whose requests have something to do at their end.
CLEANING_SERVICE = """
import asyncio
from collections.abc import AsyncIterator

from fastapi import WebSocket
from fastapi.responses import StreamingResponse

from app.main import create_app

app = create_app()


@app.get("/answer")
async def answer() -> None:
    try:
        print("in flight", flush=True)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)
        print("/answer has cleaned up", flush=True)


@app.websocket("/socket")
async def socket(socket: WebSocket) -> None:
    await socket.accept()
    try:
        print("in flight", flush=True)
        await asyncio.Event().wait()
    finally:
        async with app.state.database.read() as session:
            await session.fetch_val("SELECT 1")
        print("/socket has cleaned up", flush=True)


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def rows() -> AsyncIterator[str]:
        try:
            yield "a row"
            print("in flight", flush=True)
            await asyncio.Event().wait()
        finally:
            print("/stream has cleaned up", flush=True)

    return StreamingResponse(rows())
"""
# A service that takes its time to be imported.
IMPORTED_SLOWLY = """
import time
from pathlib import Path

print("importing", flush=True)
while not Path("imported").exists():
    time.sleep(0.01)

from app.main import app as app
"""
# Every file system is read-only to the command, which `readOnlyRootFilesystem` makes only the first.
READ_ONLY = """
set -e
while read -r _ mount _; do mount -o remount,bind,ro "$mount" 2>/dev/null || true; done < /proc/mounts
! touch "$HOME/file" 2>/dev/null || exit 1
exec "$@"
"""


def serve(*arguments: str, folder: Path, **variables: str) -> Process:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **variables}
    return Process("app", *arguments, "--port", "0", folder=folder, environment=environment)


def connection_to(port: int) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30))


@pytest.fixture
def url(settings: Settings) -> str:
    return settings.database.url.get_secret_value()


@pytest.mark.parametrize("workers", ["", "2"])  # an empty variable is one that is not set
def test_a_failed_start_ends_with_a_status_that_says_so(workers: str, tmp_path: Path) -> None:
    with serve(folder=tmp_path, WEB_CONCURRENCY=workers) as process:
        assert process.exit_code() == FAILED_START
        assert "DATABASE_URL is not set" in process.output
        assert "Traceback" not in process.output
        assert process.has_left_nothing()
        lines = [json.loads(line) for line in process.output.splitlines()]
    assert {"time", "level", "name", "message"} <= set.intersection(*map(set, lines)), "the server's lines too"


@pytest.mark.parametrize("number", ["2", " 2 ", "2\n", "+2", "0_2"])
def test_what_the_settings_take_for_a_number_of_workers_is_started(number: str) -> None:
    assert workers_of(number) == TypeAdapter(int).validate_python(number) == 2


@pytest.mark.parametrize("workers", ["many", "0", "-1", "1.5"])
def test_a_number_of_workers_that_cannot_be_used_is_refused_with_one_sentence(
    workers: str, url: str, tmp_path: Path
) -> None:
    with serve(folder=tmp_path, DATABASE_URL=url, WEB_CONCURRENCY=workers) as process:
        assert process.exit_code() == FAILED_START
        assert "WEB_CONCURRENCY cannot be used" in process.output
        assert "Traceback" not in process.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_ends_a_start_that_waits_for_the_database(
    workers: str, number: signal.Signals, url: str, tmp_path: Path
) -> None:
    away = replaced(url, "location", "127.0.0.1:1")
    waits = {"DATABASE_STARTUP_TIMEOUT": "3600", "WEB_CONCURRENCY": workers}
    with serve(folder=tmp_path, DATABASE_URL=away, **waits) as process:
        process.says(rf"(?s)(?:Waiting for application startup.*){{{workers}}}")
        time.sleep(0.5)  # until it waits: nobody says so
        process.signal(number)
        assert process.exit_code() == FAILED_START
        assert "Asked to stop before the database had answered" in process.output
        assert "Traceback" not in process.output
        assert process.has_left_nothing()


def test_a_signal_that_comes_while_a_worker_imports_the_service_ends_the_start(url: str, tmp_path: Path) -> None:
    (tmp_path / "slow_service.py").write_text(IMPORTED_SLOWLY)
    variables = {"DATABASE_URL": replaced(url, "location", "127.0.0.1:1"), "DATABASE_STARTUP_TIMEOUT": "3600"}
    with serve("slow_service:app", "--workers", "2", folder=tmp_path, **variables) as process:
        process.says("(?s)importing.*importing")
        process.terminate()
        process.says("(?s)Terminated child process.*Terminated child process")
        (tmp_path / "imported").touch()
        assert process.exit_code() == FAILED_START
        assert "Asked to stop before the database had answered" in process.output
        assert "Traceback" not in process.output
        assert process.has_left_nothing()


def test_a_websocket_that_the_stop_cancels_cleans_up_with_the_database(url: str, tmp_path: Path) -> None:
    (tmp_path / "cleaning_service.py").write_text(CLEANING_SERVICE)
    command = ("cleaning_service:app", "--timeout-graceful-shutdown", "1")
    with serve(*command, folder=tmp_path, DATABASE_URL=url) as process:
        with connect(f"ws://127.0.0.1:{port_of(process)}/socket"):
            process.says("in flight")
            process.terminate()
            assert process.exit_code() == -signal.SIGTERM
        assert "/socket has cleaned up" in process.output.splitlines()


def test_requests_that_the_stop_cancels_clean_up_are_answered_and_have_their_line(url: str, tmp_path: Path) -> None:
    (tmp_path / "cleaning_service.py").write_text(CLEANING_SERVICE)
    command = ("cleaning_service:app", "--timeout-graceful-shutdown", "1")
    with serve(*command, folder=tmp_path, DATABASE_URL=url) as process:
        port = port_of(process)
        with connection_to(port) as answered, connection_to(port) as streamed:
            answered.request("GET", "/answer")
            streamed.request("GET", "/stream")
            process.says("(?s)in flight.*in flight")
            process.terminate()
            response = answered.getresponse()
            assert (response.status, json.loads(response.read())["detail"]) == (503, "The service is stopping")
            with pytest.raises(http.client.IncompleteRead):
                streamed.getresponse().read()
        assert process.exit_code() == -signal.SIGTERM
        assert {"/answer has cleaned up", "/stream has cleaned up"} <= {*process.output.splitlines()}
        lines = [json.loads(line) for line in process.output.splitlines() if line.startswith("{")]
    noted = {
        line["route"]: (line["status"], line.get("cut_off", False)) for line in lines if line["name"] == "app.requests"
    }
    assert noted == {"/answer": (503, False), "/stream": (200, True)}


@pytest.mark.parametrize("workers", [1, 2])
def test_at_a_signal_all_processes_end_within_the_limit_and_leave_nothing(
    workers: int, url: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "endless_service.py").write_text(ENDLESS_SERVICE)
    command = ("endless_service:app", "--workers", str(workers), "--timeout-graceful-shutdown", "1")
    with serve(*command, folder=tmp_path, DATABASE_URL=url) as process:
        process.says(f"(?s)(?:{SERVING}.*){{{workers}}}")
        if workers > 1:
            _kill_a_worker(process)
        with connection_to(port_of(process)) as connection:
            connection.request("GET", "/endless")
            process.says("in flight")
            process.terminate()
            # One process alone ends as the signal ends any program, unless it is the first of a container.
            assert process.exit_code() == (0 if workers > 1 else -signal.SIGTERM)
        assert "Cancel 1 running task" in process.output
        assert process.has_left_nothing()
    if not settings.database.external_pooler:  # which keeps its own
        assert asyncio.run(_connections_left(settings)) == 0


def _kill_a_worker(process: Process) -> None:
    """Returns when another serves in its place."""
    killed = process.says(r"Started server process \[(\d+)\]")[1]
    os.kill(int(killed), signal.SIGKILL)
    process.says(rf"(?s)Child process \[{killed}\] died.*{SERVING}")


async def _connections_left(settings: Settings) -> int:
    """How many connections to the database others keep; a server takes a moment to see that one was closed."""
    connection = await driver.connect(settings.database.target, settings.database)
    try:
        for _ in range(3000):
            if not (left := await facts.connections(connection) - 1):
                break
            await asyncio.sleep(0.01)
        return left
    finally:
        await driver.close(connection)


@pytest.fixture
def port(url: str, tmp_path: Path) -> Iterator[int]:
    with serve(folder=tmp_path, DATABASE_URL=url, UVICORN_TIMEOUT_KEEP_ALIVE="1") as process:
        yield port_of(process)


def test_health_and_metrics_answer_the_methods_of_monitors(port: int) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        with connection_to(port) as connection:
            seen = {}
            for method in ("GET", "HEAD", "OPTIONS", "GET"):  # the last shows that HEAD left no body in the connection
                connection.request(method, path)
                response = connection.getresponse()
                seen[method] = (response.status, response.headers["Content-Type"], bool(response.read()))
            assert seen["GET"] == (200, seen["HEAD"][1], True)
            assert seen["HEAD"] == (200, seen["GET"][1], False)
            assert seen["OPTIONS"] == (405, "application/problem+json", True)
            connection.request("OPTIONS", path)
            assert connection.getresponse().headers["Allow"] == "GET, HEAD"


def test_an_idle_connection_is_closed_at_the_limit_that_the_environment_sets(port: int) -> None:
    with connection_to(port) as connection:
        connection.request("GET", "/health/live")
        connection.getresponse().read()
        assert connection.sock.recv(1) == b""


def test_an_idle_connection_outlives_the_patience_of_the_usual_proxies() -> None:
    assert DEFAULTS["timeout_keep_alive"] > 60  # nginx and AWS, docs/running.md


def test_the_service_needs_no_place_to_write(url: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), "HOME": str(tmp_path)}
    namespace = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-c", READ_ONLY, "sh"]
    if not shutil.which("unshare") or subprocess.run([*namespace, "true"], env=environment).returncode:
        pytest.skip("this system lets its users make nothing read-only for a process of theirs")
    command = [*namespace, sys.executable, "-m", "app", "--port", "0"]
    log = tmp_path / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment | of_the_team() | {"DATABASE_URL": url},
            stdout=file,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            while not (running := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())):
                assert process.poll() is None, log.read_text()
                time.sleep(0.01)
            for path in ("/health/live", "/metrics"):
                with connection_to(int(running[1])) as connection:
                    connection.request("GET", path)
                    assert connection.getresponse().status == 200
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
    assert "Traceback" not in log.read_text()
