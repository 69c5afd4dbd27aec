"""Errors over a WebSocket: a code and a reason, or a problem document before it is accepted; one line in the log."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import connect

from app.settings import Settings
from tests.processes import Process, prepare
from tests.template.test_start import uvicorn

prepare()

SERVICE = """
import asyncio

from fastapi import APIRouter, HTTPException, WebSocket, WebSocketException

from app import extensions
from app.database import PoolTimeout, ServerGone, StatementTimeout, UniqueViolation
from app.main import create_app
from app.problems import problem


class OutOfStock(Exception):
    pass


async def out_of_stock(connection, error):
    return problem(409, title="It is out of stock: " + "é" * 100)


ERRORS = {
    "away": ServerGone(),
    "full": PoolTimeout(),
    "slow": StatementTimeout(),
    "double": UniqueViolation(),
    "forbidden": HTTPException(403),
    "method": HTTPException(405),
    "busy": HTTPException(429, "Slower"),
    "team": OutOfStock(),
    "bug": RuntimeError("secret"),
    "long": WebSocketException(4001, "é" * 100),
}
router = APIRouter()


@router.websocket("/before/{name}")
async def before(socket: WebSocket, name: str, number: int = 0) -> None:
    raise ERRORS[name]


@router.websocket("/after/{name}")
async def after(socket: WebSocket, name: str) -> None:
    await socket.accept()
    await socket.send_text("begun")
    raise ERRORS[name]


@router.websocket("/listening")
async def listening(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    finally:
        print("ended", socket.query_params["who"], flush=True)


@router.websocket("/receiving/{kind}")
async def receiving(socket: WebSocket, kind: str) -> None:
    await socket.accept()
    await getattr(socket, f"receive_{kind}")()


@router.websocket("/tasks")
async def tasks(socket: WebSocket) -> None:
    await socket.accept()

    async def listen() -> None:
        while True:
            await socket.send_text(await socket.receive_text())

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(listen())
            group.create_task(asyncio.Event().wait())
    finally:
        print("ended", socket.query_params["who"], flush=True)


@router.websocket("/talking")
async def talking(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive_text()
    try:
        while True:
            await socket.send_text("x" * 1000)
            await asyncio.sleep(0)
    finally:
        print("ended", socket.query_params["who"], flush=True)


extensions.routers = [router]
extensions.exception_handlers = {OutOfStock: out_of_stock}
app = create_app()
"""


@pytest.fixture(scope="module")
def service(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("websockets")
    (folder / "socket_service.py").write_text(SERVICE)
    url = settings.database.url.get_secret_value()
    with uvicorn("socket_service:app", folder=folder, DATABASE_URL=url) as process:
        yield process


@pytest.fixture
def url(service: Process) -> str:
    return "ws://" + service.says(r"running on http://(127\.0\.0\.1:\d+)")[1]


def refused(url: str) -> Response:
    """The answer to a handshake that is one of HTTP."""
    with pytest.raises(InvalidStatus) as caught, connect(url):
        pass
    return caught.value.response


def logged(service: Process, url: str, before: str) -> list[dict[str, Any]]:
    """What has been logged since then, and is more than information."""
    assert refused(f"{url}/before/double").status_code == 409  # by then the server is done with the one before
    records = [json.loads(line) for line in service.output[len(before) :].splitlines() if line.startswith("{")]
    return [record for record in records if record["level"] != "INFO"]


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("away", 1013, "The database server cannot be reached"),
        ("full", 1013, "No database connection became free in time"),
        ("slow", 1011, "The statement took too long"),
        ("double", 1008, "A row with these values is already there"),
        ("forbidden", 1008, "Forbidden"),
        ("method", 1008, "Method Not Allowed"),
        ("busy", 1013, "Too Many Requests"),
        ("team", 1008, "It is out of stock: " + "é" * 51),
        ("bug", 1011, "Internal Server Error"),
        ("long", 4001, "é" * 61),
    ],
)
def test_an_error_closes_an_open_socket_with_a_code_and_a_reason(
    url: str, service: Process, name: str, code: int, reason: str
) -> None:
    before = service.output
    with connect(f"{url}/after/{name}") as client:
        assert client.recv() == "begun"
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, reason)
    records = logged(service, url, before)
    assert [r["level"] for r in records] == (["ERROR"] if name in ("away", "slow", "bug") else [])
    assert sum("exc_info" in r for r in records) == (name == "bug")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/before/away", 503),
        ("/before/full", 503),
        ("/before/method", 405),
        ("/before/double", 409),
        ("/before/forbidden", 403),
        ("/before/team", 409),
        ("/before/bug", 500),
        ("/before/away?number=x", 422),
    ],
)
def test_an_error_before_the_socket_is_accepted_is_a_problem_document(
    url: str, service: Process, path: str, status: int
) -> None:
    before = service.output
    response = refused(f"{url}{path}")
    document = json.loads(response.body or b"")
    assert response.status_code == document["status"] == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Request-ID"] == document["request_id"]
    assert "secret" not in str(document)
    assert len(logged(service, url, before)) == (path in ("/before/away", "/before/bug"))


@pytest.mark.parametrize(
    ("path", "politely"),
    [("/listening", True), ("/listening", False), ("/talking", False), ("/tasks", True), ("/tasks", False)],
)
def test_a_client_that_leaves_is_no_error(url: str, service: Process, path: str, politely: bool) -> None:
    before, who = service.output, f"{path[1:]}-{politely}"
    with connect(f"{url}{path}?who={who}") as client:
        client.send("hello")
        client.recv()
        if not politely:
            client.socket.shutdown(socket.SHUT_RDWR)
    service.says(f"ended {who}")
    assert logged(service, url, before) == []


@pytest.mark.parametrize(
    ("kind", "message", "code"),
    [("text", b"bytes", 1003), ("bytes", "text", 1003), ("json", b"{}", 1003), ("json", "{", 1007)],
)
def test_a_message_that_the_route_cannot_receive_is_its_clients_mistake(
    url: str, service: Process, kind: str, message: str | bytes, code: int
) -> None:
    before = service.output
    with connect(f"{url}/receiving/{kind}") as client:
        client.send(message)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == code
    assert logged(service, url, before) == []


def test_a_handshake_leaves_no_query_in_the_log_where_browsers_have_to_put_tokens(service: Process, url: str) -> None:
    with connect(f"{url}/listening?who=s3cret") as client:
        client.send("hello")
        assert client.recv() == "hello"
    assert refused(f"{url}/before/full?number=7&key=5ecret").status_code == 503
    service.says("ended s3cret")
    assert "s3cret" not in service.output.replace("ended s3cret", "")
    assert "5ecret" not in service.output
