"""One line for each request: its route, its status, what it cost in the database; none where none is wanted."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from httpx import ASGITransport, AsyncClient
from pydantic import ValidationError
from pythonjsonlogger.json import JsonFormatter
from sqlalchemy import select
from starlette.responses import FileResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import requests
from app.database import CurrentDatabase, Database, InvalidValue, ReadSession, WriteSession
from app.logs import JsonLines, levels_of
from app.main import create_app
from app.overload import REFUSED
from app.problems import problem
from app.settings import Settings
from tests.statements import value
from tests.template.test_overload import crowded as crowded
from tests.template.test_overload import full
from tests.template.test_request_metrics import counts
from tests.template.test_traces import Served, serve

HOST = [(b"host", b"test")]  # as the client's, which a team's middleware may ask for
FIELDS = ("method", "route", "status", "duration_ms", "database_ms", "statements")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """What was written for requests so far, each line once."""
    caplog.set_level(logging.DEBUG, "app.requests")

    def written() -> list[dict[str, Any]]:
        records = [vars(record) for record in caplog.records if record.name == "app.requests"]
        caplog.clear()
        return records

    return written


@pytest.fixture
async def asking(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """The service, with routes that do what is of interest here."""
    inner = FastAPI()

    @inner.get("/inner/{id}")
    async def inside(id: int) -> None: ...

    @app.get("/reads/{id}")
    async def reads(id: int, session: ReadSession) -> None:
        await asyncio.gather(value(session, select(1)), value(session, select(1)))

    @app.post("/writes")
    async def writes(session: WriteSession, later: BackgroundTasks, database: CurrentDatabase) -> None:
        await value(session, select(1))
        later.add_task(after, database)

    async def after(database: Database) -> None:
        async with database.read() as session:
            await value(session, select(1))

    @app.get("/refused")
    async def refused() -> None:
        raise HTTPException(418)

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def rows() -> AsyncIterator[str]:
            yield "a row"
            raise RuntimeError

        return StreamingResponse(rows())

    app.mount("/mounted", inner)
    async with AsyncClient(
        transport=ASGITransport(app=app, raise_app_exceptions=False), base_url="http://test"
    ) as client:
        yield client


async def test_a_line_says_the_route_the_status_and_what_the_request_cost(
    asking: AsyncClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    await asking.get("/reads/471108151623?token=s3cret", headers={"X-Request-ID": "one"})
    (line,) = lines()
    assert [line[name] for name in ("method", "route", "status", "statements")] == ["GET", "/reads/{id}", 200, 2]
    assert line["duration_ms"] > 0
    assert line["database_ms"] > 0
    assert "cut_off" not in line
    assert "471108151623" not in str(line)
    assert "s3cret" not in str(line)
    assert (line["levelname"], line["message"].startswith("GET /reads/{id} 200 in ")) == ("INFO", True)


async def test_what_is_done_after_the_answer_is_not_counted(
    asking: AsyncClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    await asking.post("/writes")
    (line,) = lines()
    assert (line["status"], line["statements"]) == (200, 1)


@pytest.mark.parametrize(
    ("path", "route", "status", "level"),
    [
        ("/refused", "/refused", 418, "INFO"),
        ("/reads/x", "/reads/{id}", 422, "INFO"),
        ("/nowhere", None, 404, "INFO"),
        ("/crash", "/crash", 500, "WARNING"),
        ("/mounted/inner/7", "/mounted/inner/{id}", 200, "INFO"),
        ("/mounted/nowhere", "/mounted/{path}", 404, "INFO"),
        ("/openapi.json", "/openapi.json", 200, "INFO"),
        ("/health/live", "/health/live", 200, "DEBUG"),
        ("/health/nowhere", None, 404, "INFO"),
        ("/metrics", "/metrics", 200, "DEBUG"),
    ],
)
async def test_each_answer_has_one_line_and_that_of_a_healthy_probe_is_for_debugging(
    path: str,
    route: str | None,
    status: int,
    level: str,
    asking: AsyncClient,
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    response = await asking.get(path)
    (line,) = lines()
    assert response.status_code == status
    assert (line["route"], line["status"], line["levelname"], "cut_off" in line) == (route, status, level, False)


async def test_the_path_where_a_proxy_has_put_the_service_is_no_part_of_a_route(
    app: FastAPI, asking: AsyncClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    transport = ASGITransport(app=app, root_path="/behind/a/proxy")
    async with AsyncClient(transport=transport, base_url="http://test/behind/a/proxy") as client:
        for path in ("/reads/7", "/mounted/inner/7", "/health/live"):
            assert (await client.get(path)).status_code == 200
    written = [(line["route"], line["levelname"]) for line in lines()]
    assert written == [("/reads/{id}", "INFO"), ("/mounted/inner/{id}", "INFO"), ("/health/live", "DEBUG")]


async def test_a_request_that_is_refused_because_of_overload_has_its_line(
    client: AsyncClient, crowded: Database, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    async with full(crowded):
        assert (await client.get("/x")).status_code == 503
    (line,) = lines()
    assert (line["status"], line["route"], line["statements"], line["levelname"]) == (503, None, 0, "WARNING")
    assert "refused" not in line


async def test_requests_that_are_refused_one_after_another_share_a_line_a_second_which_counts_them(
    client: AsyncClient, crowded: Database, lines: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "EVERY", 0.2)
    before = counts()
    async with full(crowded):
        for _ in range(21):
            assert (await client.get("/x")).status_code == 503
        written = lines()
        async with asyncio.timeout(30):
            while sum(line.get("refused", 1) for line in written) < 21:
                await asyncio.sleep(0.01)
                written += lines()
    shared = [line for line in written if "refused" in line]
    assert "refused" not in written[0]
    assert shared
    assert len(written) < 21
    for line in shared:  # after a pause of the machine another one has a line of its own
        assert (line["status"], line["levelname"]) == (503, "WARNING")
        assert line["message"] == f"{line['refused']} more requests were refused because of overload"
    assert sum((counts() - before).values()) == 21, "each is counted"


async def test_refused_requests_of_the_last_second_have_their_line_when_the_service_ends(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    async def service(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[REFUSED] = True
            await problem(503)(scope, receive, send)

    ending = requests.RequestsMiddleware(service)
    for _ in range(3):
        await asked(ending)
    await ending({"type": "lifespan"}, nothing, ignored)
    assert [line.get("refused", 1) for line in lines()] == [1, 2]


async def test_a_route_whose_own_work_was_cancelled_by_somebody_has_failed_and_the_service_goes_on(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    async def service(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    with suppress(asyncio.CancelledError):
        await asked(requests.RequestsMiddleware(service))
    assert [line["status"] for line in lines()] == [500]


async def asked(service: ASGIApp) -> None:
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": HOST, "app": FastAPI()}
    await service(scope, nothing, ignored)


async def nothing() -> Message:
    return {"type": "http.request"}


async def ignored(message: Message) -> None: ...


async def test_an_answer_that_breaks_off_is_said_to_be_cut_off(
    asking: AsyncClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    assert (await asking.get("/stream")).status_code == 200
    (line,) = lines()
    assert (line["status"], line["cut_off"], line["message"].endswith(", cut off")) == (200, True, True)


async def messages_of(app: ASGIApp, path: str, *extensions: str) -> list[Message]:
    """What the service sends to a server that has these extensions of ASGI."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": HOST, "query_string": b"", "root_path": ""}
    with suppress(RuntimeError):
        await app({**scope, "extensions": {name: {} for name in extensions}}, nothing, send)
    return sent


async def test_an_answer_after_early_hints_has_its_end_also_if_it_is_that_to_a_bug(
    app: FastAPI, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    @app.get("/hints")
    async def hints(request: Request) -> None:
        await request.send_early_hints("</style.css>; rel=preload; as=style")
        raise RuntimeError

    sent = await messages_of(app, "/hints", "http.response.early_hint")
    assert [each["type"].rpartition(".")[2] for each in sent] == ["early_hint", "start", "body"]
    (line,) = lines()
    assert (line["status"], "cut_off" in line) == (500, False)


async def test_a_file_that_the_server_sends_itself_is_no_answer_that_was_cut_off(
    app: FastAPI, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    @app.get("/file")
    async def file() -> FileResponse:
        return FileResponse(__file__)

    sent = await messages_of(app, "/file", "http.response.pathsend")
    assert [each["type"].rpartition(".")[2] for each in sent] == ["start", "pathsend"]
    (line,) = lines()
    assert (line["status"], "cut_off" in line) == (200, False)


async def test_a_request_that_the_server_cancels_at_its_end_is_answered_that_it_stops(
    settings: Settings, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """As uvicorn does after --timeout-graceful-shutdown: no 500 in plain text, and no client that hung up."""
    app, waiting = create_app(settings), asyncio.Event()

    @app.get("/waits")
    async def waits() -> None:
        waiting.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/waits", "headers": HOST, "query_string": b"", "root_path": ""}
    request = asyncio.create_task(app(scope, receive, send))
    async with asyncio.timeout(30):
        await waiting.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    (line,) = lines()
    assert (line["route"], line["status"]) == ("/waits", 503)
    start, body = sent
    assert start["status"] == 503
    assert {b"retry-after", b"x-request-id"} <= {name for name, _ in start["headers"]}
    assert json.loads(body["body"])["detail"] == "The service is stopping"


async def test_no_line_of_a_problem_has_the_path_which_may_hold_a_secret(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)

    @app.get("/reset/{token}")
    async def reset(token: str) -> None:
        raise InvalidValue

    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://test") as client:
        assert (await client.get("/reset/s3cret?key=s3cret")).status_code == 422
    assert "GET /reset/{token}" in caplog.text
    assert "s3cret" not in caplog.text.replace("HTTP Request: GET http://test/reset/s3cret?key=s3cret", "")


async def test_a_route_beside_metrics_is_no_probe(
    settings: Settings, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    app = create_app(settings)
    paths = ["/metrics-of-orders", "/metrics/orders", "/healthy"]
    for path in paths:
        app.add_api_route(path, lambda: None)
    transport = ASGITransport(app=app)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        for path in paths:
            assert (await client.get(path)).status_code == 200
    assert [line["route"] for line in lines()] == paths


def test_a_served_request_is_a_line_of_json_and_the_server_writes_none_beside_it(
    settings: Settings, tmp_path: Path
) -> None:
    with serve(settings, tmp_path) as process:
        served = Served(process)
        assert served.ask("GET", "/nothing").status == 200
        assert served.ask("GET", "/health/live").status == 200
        process.terminate()
        process.exit_code()
    (line,) = [json.loads(line) for line in process.output.splitlines() if "/nothing" in line]
    assert line.keys() == {"time", "level", "name", "message", "request_id", *FIELDS}
    assert (line["name"], line["level"], line["request_id"]) == ("app.requests", "INFO", "none")
    assert line["time"].endswith("+00:00")
    assert "/health/live" not in process.output


@pytest.mark.parametrize(
    ("levels", "shown", "hidden"),
    [
        ("WARNING", ["GET /crash 500"], ["GET /nothing", "GET /health/live"]),
        ("warning, app.requests = DEBUG", ["GET /crash 500", "GET /nothing", "GET /health/live"], []),
        ("DEBUG,app.requests=ERROR", ["Exception in ASGI"], ["GET /crash 500", "GET /nothing"]),
    ],
)
def test_levels_are_set_for_all_or_for_single_loggers(
    levels: str, shown: list[str], hidden: list[str], settings: Settings, tmp_path: Path
) -> None:
    with serve(settings, tmp_path, LOG_LEVEL=levels) as process:
        served = Served(process)
        for path in ("/crash", "/nothing", "/health/live"):
            served.ask("GET", path)
        process.terminate()
        process.exit_code()
    assert [text for text in shown if text not in process.output] == []
    assert [text for text in hidden if text in process.output] == []


@pytest.mark.parametrize("levels", ["LOUD", "", "httpx=WARNING", "INFO,httpx", "INFO,=DEBUG,httpx=5"])
def test_a_level_that_is_none_is_refused_with_a_sentence(levels: str, settings: Settings) -> None:
    with pytest.raises(ValueError, match=r"^give one of DEBUG, INFO, .* as in INFO,httpx=WARNING$"):
        levels_of(levels)
    with pytest.raises(ValidationError, match="INFO,httpx=WARNING"):
        Settings(_env_file=None, database=settings.database, log_level=levels)


@pytest.mark.parametrize(
    "said",
    [
        {"msg": "%s of %d", "args": ('é\n"', 2)},
        {"msg": "%(what)s", "args": {"what": 1}},
        {"msg": "no arguments", "request_id": "1", "color_message": "in colors"},
        {"msg": {"event": "paid", "at": datetime(2026, 1, 2, tzinfo=UTC), "in": [Decimal("1.5"), b"x"]}},
        {
            "msg": "",
            "one": UUID(int=1),
            "day": date(2026, 1, 2),
            "kind": HTTPStatus.OK,
            "type": int,
            "more": {"a": (1, None)},
        },
        {"msg": "where", "stack_info": "Stack (most recent call last)", "taskName": "Task-1"},
    ],
)
def test_a_line_has_what_the_librarys_formatter_would_have_written(said: dict[str, Any]) -> None:
    record = logging.makeLogRecord({"name": "team", "levelname": "INFO", **said})
    library = JsonFormatter("levelname,name,message", style=",", rename_fields={"levelname": "level"})
    written = json.loads(JsonLines().format(record))
    assert datetime.fromisoformat(written.pop("time")).timestamp() == pytest.approx(record.created, abs=0.001)
    assert written == {k: v for k, v in json.loads(library.format(record)).items() if k != "color_message"}
