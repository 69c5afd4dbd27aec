"""What is too large is refused before it is read, what is wrong is answered briefly, and who hangs up does no harm."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from email.message import Message
from typing import NamedTuple

import pytest

from app.error_handlers import ERRORS, LONGEST_WORDS
from app.settings import Settings
from tests.processes import Process, port_of, prepare
from tests.template.test_start import uvicorn

prepare()

LIMIT = 1024 * 1024
SERVICE = """
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.middleware import Middleware

from app import extensions
from app.bodies import RowsBody
from app.database import WriteSession
from app.main import create_app


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str


class SaysWhenItEnds:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def send_more(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-team", b"orders")]
            await send(message)

        try:
            await self.app(scope, receive, send_more)
        finally:
            print("ended", scope.get("query_string"), flush=True)


plain, outer, inner = APIRouter(), APIRouter(), APIRouter(prefix="/inner", max_body_size=3_000_000)


async def size(request: Request) -> int:
    return len(await request.body())


plain.add_api_route("/size", size, methods=["POST"])
plain.add_api_route("/photos", size, methods=["POST"], max_body_size=3_000_000)
plain.add_api_route("/words", size, methods=["POST"], max_body_size=10)
inner.add_api_route("/photos", size, methods=["POST"])
inner.add_api_route("/words", size, methods=["POST"], max_body_size=10)
outer.include_router(inner)


@plain.post("/items")
async def create(item: Item, session: WriteSession) -> str:
    return item.name


@plain.post("/rows")
async def create_rows(rows: Annotated[list[Item], Depends(RowsBody(Item))], session: WriteSession) -> int:
    return len(rows)


@plain.get("/numbers")
async def numbers(n: Annotated[list[int], Query()]) -> int:
    return len(n)


@plain.post("/unread")
async def unread() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for _ in range(3):
            yield "line\\n"

    return StreamingResponse(lines())


extensions.routers = [plain, outer]
extensions.middleware = [Middleware(SaysWhenItEnds)]
app = create_app()
"""


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes


class Client(NamedTuple):
    process: Process
    port: int

    def send(self, head: str, body: bytes = b"") -> Answer:
        """The answer to a request of these bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(f"{head}\r\nHost: test\r\n\r\n".encode() + body)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return Answer(response.status, response.headers, response.read())

    def post(self, path: str, body: bytes, type: str = "application/json") -> Answer:
        return self.send(f"POST {path} HTTP/1.1\r\nContent-Type: {type}\r\nContent-Length: {len(body)}", body)

    def post_in_chunks(self, path: str, body: bytes) -> Answer:
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(body[i : i + 65536]), body[i : i + 65536]) for i in range(0, len(body), 65536)
        )
        return self.send(f"POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked", chunks + b"0\r\n\r\n")


@pytest.fixture(scope="module")
def client(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("limits")
    (folder / "limited_service.py").write_text(SERVICE)
    url = settings.database.url.get_secret_value()
    with uvicorn("limited_service:app", folder=folder, DATABASE_URL=url) as process:
        client = Client(process, port_of(process))
        yield client
        assert client.send("GET /health/live HTTP/1.1").status == 200  # by then the server is done with all before
        errors = [line for line in process.output.splitlines() if re.search("ERROR|Traceback", line)]
    assert errors == [], "what is refused is no error of the service"


def is_problem(answer: Answer, status: int) -> dict[str, object]:
    """The document; each refusal has the request's id and what the team's middleware adds."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.headers["X-Team"] == "orders"
    document: dict[str, object] = json.loads(answer.body)
    assert document["request_id"] == answer.headers["X-Request-ID"]
    return document


def test_a_body_of_the_limit_is_read_and_a_larger_one_refused(client: Client) -> None:
    for post in (client.post, client.post_in_chunks):
        assert post("/size", b"x" * LIMIT).body == str(LIMIT).encode()
        document = is_problem(post("/size", b"x" * (LIMIT + 1)), 413)
        assert document["detail"] == "Send at most 1,048,576 bytes"
    assert is_problem(client.post("/items", b" " * (LIMIT + 1)), 413)


def test_what_is_announced_too_large_is_refused_unread(client: Client) -> None:
    head = "POST /size HTTP/1.1\r\nContent-Length: 5000000\r\nExpect: 100-continue"
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(f"{head}\r\nHost: test\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize("router", ["", "/inner"], ids=["plain", "nested"])
def test_a_route_has_a_limit_of_its_own(client: Client, router: str) -> None:
    for post in (client.post, client.post_in_chunks):
        assert post(f"{router}/photos", b"x" * 3_000_000).body == b"3000000"
        assert is_problem(post(f"{router}/photos", b"x" * 3_000_001), 413)["detail"]
        assert post(f"{router}/words", b"x" * 10).body == b"10"
        assert is_problem(post(f"{router}/words", b"x" * 11), 413)["detail"]


def test_many_rows_have_a_limit_of_their_own(client: Client) -> None:
    rows = json.dumps([{"name": "x" * 800} for _ in range(10_000)]).encode()
    assert LIMIT < len(rows) < 8 * LIMIT
    assert client.post("/rows", rows).body == b"10000"
    assert is_problem(client.post("/rows", b" " * (8 * LIMIT + 1)), 413)
    assert is_problem(client.post("/rows", b"[" + b"1," * 30_000 + b"1]"), 413)["detail"] == (
        "Send at most 10,000 rows at a time"
    )


def test_a_body_that_nobody_reads_harms_no_answer(client: Client) -> None:
    assert client.post("/unread", b"x" * (2 * LIMIT)).body == b"line\nline\nline\n"


def fields(number: int) -> bytes:
    return json.dumps({f"f{i}": 0 for i in range(number)}).encode()


@pytest.mark.parametrize(("path", "number"), [("/items", 80_000), ("/rows", 15_000)])
def test_of_many_mistakes_some_are_named_and_the_others_counted(client: Client, path: str, number: int) -> None:
    body = fields(number) if path == "/items" else b"[" + fields(number) + b"]"
    answer = client.post(path, body)
    document = is_problem(answer, 422)
    errors = document["errors"]
    assert isinstance(errors, list)
    assert len(errors) == ERRORS
    assert document["detail"] == f"{number + 1 - ERRORS:,} more errors are not listed"
    assert len(answer.body) < 20_000


def test_more_mistakes_than_anybody_reads_are_counted_only(client: Client) -> None:
    document = is_problem(client.post("/rows", b"[" + fields(30_000) + b"]"), 422)
    assert document["errors"] == [{"field": "body", "detail": "30,001 errors, too many to list"}]


def test_more_values_than_rows_can_have_are_refused_before_each_is_looked_at(client: Client) -> None:
    """Of 500,000 mistakes pydantic would hold 350 MB."""
    most = "Send at most 60,000 values at a time"  # 10,000 rows of one field, and five more
    for body in (fields(500_000), b'{"name": [' + b"1," * 2_000_000 + b"1]}"):
        assert is_problem(client.post("/rows", b"[" + body + b"]"), 413)["detail"] == most
    rows = [{"name": ",,,,,,,,,," * 20}] * 10_000  # which are none
    assert client.post("/rows", json.dumps(rows).encode()).status == 200


def test_the_words_of_a_client_come_back_cut(client: Client) -> None:
    answer = client.post("/items", json.dumps({"name": "x", "y" * 500_000: 1}).encode())
    document = is_problem(answer, 422)
    assert document["errors"] == [
        {"field": ("body." + "y" * 500)[:LONGEST_WORDS], "detail": "Extra inputs are not permitted"}
    ]


HOSTILE = {
    "deep": b"[" * 400_000,
    "deep in a field": b'{"name": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "a huge number": b'{"name": ' + b"9" * 500_000 + b"}",
    "a number out of range": b'{"name": 1e999999}',
    "a long text": b'{"name": {"a": "' + b"x" * 500_000 + b'"}}',
    "a text without an end": b'",' * 80_000 + b'"' + b'\\"' * 300_000,
    "an end that is none": b'",' * 80_000 + b'"' + b"\\" * 600_001,
    "quotation marks": b"," * 80_000 + b'"' * 600_001,
}


@pytest.mark.parametrize("path", ["/items", "/rows"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies_are_answered_briefly(client: Client, path: str, body: bytes) -> None:
    answer = client.post(path, body if path == "/items" else b"[" + body + b"]")
    assert is_problem(answer, answer.status)["status"] in (400, 413, 422)
    assert len(answer.body) < 1000


def test_thousands_of_query_parameters_are_answered_briefly(client: Client) -> None:
    query = "&".join(f"n=x{i}" for i in range(5_000))
    answer = client.send(f"GET /numbers?{query} HTTP/1.1")
    assert is_problem(answer, 422)["detail"] == f"{5_000 - ERRORS:,} more errors are not listed"
    assert len(answer.body) < 20_000


def test_more_header_fields_than_anybody_needs_are_refused(client: Client) -> None:
    def answer(number: int) -> Answer:
        return client.send("GET /health/live HTTP/1.1" + "".join(f"\r\nX-{i}: 1" for i in range(number - 1)))

    assert answer(100).status == 200
    for number in (101, 10_000):
        assert is_problem(answer(number), 431)["detail"] == "Send at most 100 header fields"


@pytest.mark.parametrize("path", ["/size", "/items", "/rows"])
def test_a_client_that_hangs_up_in_mid_upload_is_no_error_and_costs_no_connection(client: Client, path: str) -> None:
    def connections() -> list[str]:
        shown = client.send("GET /metrics HTTP/1.1").body.decode()
        return re.findall(r'^database_pool_(?:in_use|open)\{pool="primary"\} (\S+)$', shown, re.MULTILINE)

    before = connections()
    head = f"POST {path}?who={path[1:]}-left HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1000"
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(f"{head}\r\nHost: test\r\n\r\n[".encode())
    client.process.says(f"ended .+{path[1:]}-left")
    assert connections() == before
    assert "0.0" in before
