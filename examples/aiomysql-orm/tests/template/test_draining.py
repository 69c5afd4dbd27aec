"""Asked to stop: before the start is over, and after it, when requests are served until the balancer knows."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from app.draining import Stopped, stoppable
from app.settings import Settings
from tests.processes import Process, port_of, prepare

prepare()

SIGNALS = [signal.SIGTERM, signal.SIGINT]


def service(settings: Settings, folder: Path, delay: str, *options: str, server: str = "uvicorn") -> Process:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path.cwd()),
        "DATABASE_URL": settings.database.url.get_secret_value(),
        "DATABASE_EXTERNAL_POOLER": str(settings.database.external_pooler),
        "SHUTDOWN_DELAY": delay,
    }
    return Process(server, "app.main:app", "--port", "0", *options, folder=folder, environment=environment)


def ask(port: int, path: str) -> tuple[int, Any]:
    """Over a new connection, as a balancer's probe."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_a_service_that_stops_is_not_ready_but_serves(settings: Settings, tmp_path: Path) -> None:
    with service(settings, tmp_path, "3600") as process:
        port = port_of(process)
        assert ask(port, "/health/ready")[0] == 200
        process.terminate()
        process.says("Stopping in 3600 s")
        status, document = ask(port, "/health/ready")
        assert (status, document["reason"]) == (503, "Stopping")
        assert ask(port, "/health/live") == (200, {"status": "alive"})
        assert ask(port, "/openapi.json")[0] == 200
        process.terminate()
        assert process.exit_code() == -signal.SIGTERM
        assert "Traceback" not in process.output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_stops_by_itself_after_the_delay(workers: str, settings: Settings, tmp_path: Path) -> None:
    with service(settings, tmp_path, "0.1", "--workers", workers) as process:
        process.says("(?s)" + ".*".join(["Application startup complete"] * int(workers)))
        process.terminate()
        process.says("Stopping in 0.1 s")
        assert process.exit_code() in (0, -signal.SIGTERM)
        assert process.output.count("Application shutdown complete") == int(workers)
        assert "Traceback" not in process.output


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_stops_all_workers_at_once(number: signal.Signals, settings: Settings, tmp_path: Path) -> None:
    with service(settings, tmp_path, "3600", "--workers", "2", server="app") as process:
        process.says("(?s)Application startup complete.*Application startup complete")
        process.terminate()
        process.says("(?s)Stopping in 3600 s.*Stopping in 3600 s")
        process.signal(number)
        assert process.exit_code() == 0
        assert process.output.count("Application shutdown complete") == 2
        assert "Traceback" not in process.output


@pytest.fixture
def told() -> Iterator[list[int]]:
    """The signals that the server was told of."""
    numbers: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda number, _frame: numbers.append(number))
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("order", "end"),
    [
        (["signal"], "stopped"),
        (["signal", "answer"], "stopped"),
        (["answer", "signal"], "started"),
        (["answer", "turn", "signal"], "started"),
        (["answer", "turn", "turn", "turn"], "started"),
        (["failure", "signal"], "failed"),
        (["signal", "failure"], "stopped"),
        (["cancel"], "cancelled"),
        (["cancel", "signal"], "stopped"),
    ],
    ids=str,
)
async def test_a_signal_ends_what_the_start_waits_for_and_nothing_after_it(
    order: list[str], end: str, number: signal.Signals, told: list[int]
) -> None:
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    handlers = [signal.getsignal(each) for each in SIGNALS]

    async def start() -> str:
        try:
            async with stoppable():
                await answer
        except Stopped:
            return "stopped"
        except ConnectionError:
            return "failed"
        for _ in range(5):  # where a cancellation that comes too late would end it
            await asyncio.sleep(0)
        return "started"

    task = asyncio.create_task(start())
    await asyncio.sleep(0)
    for event in order:
        match event:
            case "signal":
                signal.raise_signal(number)
            case "answer":
                answer.set_result(None)
            case "failure":
                answer.set_exception(ConnectionError())
            case "cancel":
                task.cancel()
            case "turn":
                await asyncio.sleep(0)
    ended = await asyncio.gather(task, return_exceptions=True)
    assert ["cancelled" if isinstance(one, asyncio.CancelledError) else one for one in ended] == [end]
    assert task.cancelling() == (1 if end == "cancelled" else 0)
    assert told == [number] * order.count("signal")
    assert [signal.getsignal(each) for each in SIGNALS] == handlers
