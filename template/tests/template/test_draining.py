"""Between SIGTERM and the stop: readiness says so, requests are served, and a second SIGTERM is obeyed at once."""

import json
import os
import signal
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.processes import Process, port_of, prepare

prepare()


def service(settings: Settings, folder: Path, delay: str, *options: str) -> Process:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path.cwd()),
        "DATABASE_URL": settings.database.url.get_secret_value(),
        "DATABASE_EXTERNAL_POOLER": str(settings.database.external_pooler),
        "SHUTDOWN_DELAY": delay,
    }
    return Process("uvicorn", "app.main:app", "--port", "0", *options, folder=folder, environment=environment)


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
