"""Errors over HTTP: each is a problem document with the request's id, and none says more than a client may know."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, HTTPException, WebSocket
from fastapi.middleware import Middleware
from httpx import ASGITransport, AsyncClient, Response
from pydantic import BaseModel, Field
from starlette.types import Message

from app.database import DatabaseError, InvalidValue, PoolTimeout, ServerGone, UniqueViolation, errors
from app.error_handlers import add_problem_handlers
from app.request_id import HEADER, RequestIdFilter, RequestIdMiddleware, current_request_id

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DatabaseError)]
INSTANT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONE_SURROGATE = '"\\ud800"'
JSON = {"Content-Type": "application/json"}


class Item(BaseModel):
    name: str = Field(max_length=5)


@pytest.fixture
def service() -> FastAPI:
    app = FastAPI(middleware=[Middleware(RequestIdMiddleware)])
    add_problem_handlers(app)

    @app.get("/http/{status}")
    async def http(status: int) -> None:
        raise HTTPException(status, "of its own", {"Retry-After": "30", "X-Team": "orders"})

    @app.get("/http")
    async def http_without_words() -> None:
        raise HTTPException(418)

    @app.get("/members")
    async def members() -> None:
        raise HTTPException(
            409, {"at": INSTANT, "price": Decimal("1.50"), "ratio": float("nan"), "item": Item(name="a")}
        )

    @app.get("/database/{name}")
    async def database(name: str) -> None:
        raise getattr(errors, name)(constraint="uq_orders_number") from RuntimeError("secret SQL")

    @app.get("/tasks/{name}")
    async def tasks(name: str) -> None:
        error = getattr(errors, name)(constraint="uq_orders_number")
        raise ExceptionGroup("of tasks", [ExceptionGroup("of their tasks", [error]), errors.TransactionAborted()])

    @app.get("/mixed")
    async def mixed() -> None:
        raise ExceptionGroup("of tasks", [UniqueViolation(), RuntimeError("secret")])

    @app.get("/told")
    async def told() -> None:
        raise UniqueViolation("That number is taken")

    @app.get("/unhandled")
    async def unhandled() -> None:
        raise RuntimeError("secret")

    @app.get("/log")
    async def log() -> dict[str, str | None]:
        logging.getLogger("team").warning("from the route")
        return {"id": current_request_id()}

    @app.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        raise ServerGone

    @app.get("/refused")
    async def refused() -> None:
        raise PoolTimeout

    @app.post("/items")
    async def item(item: Item, number: int = 0) -> str:
        return repr(item.name)

    @app.post("/pairs")
    async def pair(item: Item, other: Item) -> None:
        pass

    @app.post("/anything")
    async def anything(value: Annotated[Any, Body()]) -> str:
        return repr(value)

    @app.put("/anything")
    async def never() -> None:
        raise HTTPException(405, headers={"Allow": "POST"})

    return app


@pytest.fixture
async def asking(service: FastAPI) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(app=service, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem_of(response: Response) -> dict[str, Any]:
    """The document, whose form is the same in each answer that is not a success."""
    assert response.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert document["request_id"] == response.headers[HEADER]
    assert document["title"]
    assert None not in document.values()
    return document


async def test_an_unknown_path_is_a_problem_too(asking: AsyncClient) -> None:
    document = problem_of(await asking.get("/nowhere"))
    assert (document["type"], document["title"], document["status"]) == ("about:blank", "Not Found", 404)
    assert "detail" not in document  # it would say the same again


async def test_a_wrong_method_is_a_problem_that_names_the_right_ones(asking: AsyncClient) -> None:
    response = await asking.delete("/items")
    assert problem_of(response)["status"] == 405
    assert response.headers["Allow"] == "POST"


async def test_the_right_methods_are_those_of_all_routes_of_the_path(asking: AsyncClient) -> None:
    response = await asking.options("/anything")
    assert problem_of(response)["status"] == 405
    assert response.headers["Allow"] == "POST, PUT"


async def test_a_route_that_refuses_a_method_itself_says_what_is_allowed(asking: AsyncClient) -> None:
    assert (await asking.put("/anything")).headers["Allow"] == "POST"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 499, 500, 503])
async def test_an_http_exception_keeps_its_status_words_and_headers(status: int, asking: AsyncClient) -> None:
    response = await asking.get(f"/http/{status}")
    document = problem_of(response)
    assert (document["status"], document["detail"], document["type"]) == (status, "of its own", "about:blank")
    assert (response.headers["Retry-After"], response.headers["X-Team"]) == ("30", "orders")


async def test_an_http_exception_without_words_gets_those_of_the_standard(asking: AsyncClient) -> None:
    document = problem_of(await asking.get("/http"))
    assert document["title"] == "I'm a Teapot"
    assert "detail" not in document


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(status: int, asking: AsyncClient) -> None:
    response = await asking.get(f"/http/{status}")
    assert (response.status_code, response.content, response.headers["X-Team"]) == (status, b"", "orders")


async def test_an_invalid_request_is_described_but_not_echoed(asking: AsyncClient) -> None:
    response = await asking.post("/items", json={"name": "secret-token"})
    document = problem_of(response)
    assert (document["status"], document["type"]) == (422, "urn:problem:invalid-request")
    assert document["errors"] == [{"field": "body.name", "detail": "String should have at most 5 characters"}]
    assert "secret" not in response.text


@pytest.mark.parametrize("content", [b'{"name": secret', b"\xff\xfe", b"", b"[" * 100_000])
async def test_a_body_that_is_not_json_is_refused(content: bytes, asking: AsyncClient) -> None:
    response = await asking.post("/items", content=content, headers=JSON)
    assert problem_of(response)["status"] in (400, 422)
    assert "secret" not in response.text


@pytest.mark.parametrize("path", ["/items", "/pairs"])
@pytest.mark.parametrize("sent_as", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"])
async def test_a_body_that_is_not_sent_as_json_is_told_so(path: str, sent_as: str | None, asking: AsyncClient) -> None:
    headers = {"Content-Type": sent_as} if sent_as else {}
    document = problem_of(await asking.post(path, content=b'{"name": "secret"}', headers=headers))
    assert document["status"] == 422
    assert document["detail"] == "The body was not read as JSON: send it with Content-Type: application/json"
    assert "secret" not in str(document)


@pytest.mark.parametrize("path", ["/items?number=x", "/pairs"])
async def test_what_is_wrong_beside_a_body_that_was_read_says_nothing_of_its_type(
    path: str, asking: AsyncClient
) -> None:
    document = problem_of(await asking.post(path, json={"name": "Ada"}))
    assert document["status"] == 422
    assert "detail" not in document


async def test_a_lone_surrogate_is_an_ordinary_mistake(asking: AsyncClient) -> None:
    in_a_text = await asking.post("/items", content=f'{{"name": {LONE_SURROGATE}}}', headers=JSON)
    in_a_name = await asking.post("/items", content=f'{{{LONE_SURROGATE}: "x"}}', headers=JSON)
    in_a_path = await asking.get("/http/%ed%a0%80")
    assert [problem_of(each)["status"] for each in (in_a_text, in_a_name, in_a_path)] == [422, 422, 422]
    unchecked = await asking.post("/anything", content=LONE_SURROGATE, headers=JSON)
    assert unchecked.status_code in (200, 422)


async def test_an_unhandled_exception_says_nothing_but_the_requests_id(asking: AsyncClient) -> None:
    response = await asking.get("/unhandled", headers={HEADER: "abc-1"})
    assert problem_of(response) == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "request_id": "abc-1",
    }
    assert response.headers["Connection"] == "close"  # as the server will do after it


@pytest.mark.parametrize("way", ["database", "tasks"])
@pytest.mark.parametrize("kind", KINDS)
async def test_each_database_error_is_a_problem_of_its_own_type(
    kind: type[DatabaseError], way: str, asking: AsyncClient
) -> None:
    """Also where a group of tasks raises it, beside those that it brings about."""
    response = await asking.get(f"/{way}/{kind.__name__}")
    document = problem_of(response)
    assert (document["status"], document["title"]) == (kind.status, kind.title)
    assert document["type"].removeprefix("urn:problem:").replace("-", "") == kind.__name__.lower()
    assert document["constraint"] == "uq_orders_number"
    assert "secret" not in response.text
    assert ("Retry-After" in response.headers) == (kind.status == 503)


async def test_a_group_with_an_error_that_is_not_the_databases_is_a_bug(asking: AsyncClient) -> None:
    response = await asking.get("/mixed")
    assert problem_of(response)["status"] == 500
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("kind", "type"), [(UniqueViolation, "urn:problem:unique-violation"), (PoolTimeout, "urn:problem:pool-timeout")]
)
async def test_the_type_is_the_name_of_the_error_in_words(
    kind: type[DatabaseError], type: str, asking: AsyncClient
) -> None:
    assert problem_of(await asking.get(f"/database/{kind.__name__}"))["type"] == type


async def test_what_a_route_tells_of_an_error_is_its_detail(asking: AsyncClient) -> None:
    document = problem_of(await asking.get("/told"))
    assert (document["title"], document["detail"]) == (UniqueViolation.title, "That number is taken")
    assert "constraint" not in document


async def test_the_cause_of_a_server_error_is_in_the_log_and_that_of_a_conflict_is_not(
    asking: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    await asking.get(f"/database/{UniqueViolation.__name__}")
    assert "secret SQL" not in caplog.text
    assert (await asking.get("/refused")).status_code == 503
    assert "app.problems" not in {record.name for record in caplog.records}  # under overload it would be one more load
    await asking.get(f"/database/{ServerGone.__name__}")
    assert "secret SQL" in caplog.text
    assert "Traceback" not in caplog.text  # for what happens in the best of services
    caplog.clear()
    await asking.get(f"/database/{InvalidValue.__name__}")  # the service may have sent another value than its client
    assert [(r.levelname, "secret SQL" in r.getMessage()) for r in caplog.records if r.name == "app.problems"] == [
        ("WARNING", True)
    ]
    assert "Traceback" not in caplog.text
    await asking.get(f"/database/{DatabaseError.__name__}")
    assert "Traceback" in caplog.text


async def test_a_websocket_that_was_not_accepted_is_answered_like_a_request(service: FastAPI) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    denial: dict[str, object] = {"websocket.http.response": {}}
    scope = {"type": "websocket", "path": "/socket", "headers": [], "query_string": b"", "extensions": denial}
    await service(scope, receive, send)
    assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 503)


async def test_a_plain_request_id_is_kept(asking: AsyncClient) -> None:
    response = await asking.get("/log", headers={HEADER: "Az09._-"})
    assert (response.headers[HEADER], response.json()) == ("Az09._-", {"id": "Az09._-"})


@pytest.mark.parametrize("given", [b"", b"a b", b"a\nb", b"abc\n", b"a" * 65, b"a" * 200, b"\xff", b'"}', "ü".encode()])
async def test_any_other_request_id_is_replaced(given: bytes, asking: AsyncClient) -> None:
    response = await asking.get("/log", headers=[(HEADER.encode(), given)])
    assert len(response.headers[HEADER]) == 32
    assert response.headers[HEADER] == response.json()["id"]


async def test_each_request_has_an_id_of_its_own(asking: AsyncClient) -> None:
    ids = {(await asking.get("/log")).headers[HEADER] for _ in range(3)}
    assert len(ids) == 3


async def test_log_records_carry_the_id_of_their_request(asking: AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(RequestIdFilter())
    for id in ("one", "two"):
        await asking.get("/log", headers={HEADER: id})
        await asking.get("/database/ServerGone", headers={HEADER: id})
    ids = [getattr(record, "request_id", None) for record in caplog.records if record.name in ("team", "app.problems")]
    assert ids == ["one", "one", "two", "two"]


@pytest.mark.parametrize(
    ("detail", "members"),
    [
        ({"code": 7, "detail": "It is closed", "status": 200}, {"code": 7, "detail": "It is closed"}),
        ({"code": 7, "detail": ["a"]}, {"code": 7}),
        (["a", 1], {"details": ["a", 1]}),
    ],
)
async def test_a_detail_that_is_no_text_becomes_members(service: FastAPI, detail: Any, members: dict[str, Any]) -> None:
    """FastAPI takes any JSON there; in a problem document it is a text."""

    @service.get("/detail")
    async def raising() -> None:
        raise HTTPException(409, detail)

    async with AsyncClient(transport=ASGITransport(app=service), base_url="http://test") as client:
        document = (await client.get("/detail")).json()
    assert document == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "request_id": document["request_id"],
        **members,
    }


async def test_members_of_any_type_are_json(asking: AsyncClient) -> None:
    response = await asking.get("/members")
    assert response.status_code == 409
    assert "NaN" not in response.text
    said = response.json()
    instant, price, item = "2026-01-02T03:04:05Z", "1.50", {"name": "a"}
    assert (said["at"], said["price"], said["ratio"], said["item"]) == (instant, price, None, item)
