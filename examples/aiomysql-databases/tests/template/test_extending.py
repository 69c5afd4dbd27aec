"""The examples of docs/extending.md do what it says, word for word."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from http.client import IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy import select

from app import extensions
from app.database import Database, dialect
from app.lifespan import CannotStart
from app.main import create_app
from app.settings import DatabaseSettings, Settings, load_database_settings, load_settings
from dev import development
from tests.pages import page
from tests.processes import Process, port_of, prepare
from tests.statements import value
from tests.template.test_extensions import NAMES
from tests.template.test_overload import full
from tests.template.test_start import connected, uvicorn

prepare()

SECTIONS = dict(re.findall(r"^## `(\w+)`$(.*?)(?=^## |\Z)", page("extending.md"), re.MULTILINE | re.DOTALL))
SERVICE = """
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import literal, select
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware

from app import extensions
from app.database import CurrentDatabase, ReadSession
from app.main import create_app

router = APIRouter()


class Item(BaseModel):
    name: str


@router.get("/bug")
async def bug() -> None:
    raise RuntimeError("a bug of the team's")


@router.get("/broken/{lines}")
async def broken(lines: int) -> StreamingResponse:
    async def body():
        for _ in range(lines):
            yield "a line\\n"
        raise RuntimeError("a bug of the team's")

    return StreamingResponse(body())


@router.get("/endless")
async def endless(database: CurrentDatabase) -> StreamingResponse:
    async def body():
        async with database.read() as session:
            while True:
                yield await session.fetch_val(select(literal("x" * 10_000)))

    return StreamingResponse(body())


@router.get("/one")
async def one(session: ReadSession) -> int:
    return await session.fetch_val(select(literal(1)))


@router.post("/items")
async def item(item: Item) -> str:
    return item.name


async def add(request, call_next):
    response = await call_next(request)
    response.headers["X-Base"] = "added"
    return response


extensions.routers = [router]
extensions.middleware = [*middleware, Middleware(BaseHTTPMiddleware, dispatch=add)]
app = create_app()
"""


def examples(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", SECTIONS[name], re.MULTILINE | re.DOTALL)


class Extend:
    """Puts examples of the page into app/extensions.py, for one test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def by(self, name: str, number: int = 0) -> dict[str, Any]:
        """All that the example defines."""
        defined: dict[str, Any] = {"__name__": "app.extensions"}
        exec(compile(examples(name)[number], f"docs/extending.md, {name}", "exec"), defined)
        self.set(name, defined[name])
        return defined

    def set(self, name: str, value: object) -> None:
        self._monkeypatch.setattr(extensions, name, value, raising=False)


@pytest.fixture
def extend(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Extend:
    for name in NAMES:
        monkeypatch.delattr(extensions, name, raising=False)
    return Extend(monkeypatch)


@asynccontextmanager
async def asking(settings: Settings) -> AsyncIterator[AsyncClient]:
    app = create_app(settings)
    async with app.router.lifespan_context(app) as state:
        transport = ASGITransport(app=with_state(app, state or {}), raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


def with_state(app: FastAPI, state: Any) -> Any:
    """As a server does with what the lifespan yields."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"state": dict(state)}, receive, send)

    return served


def test_the_page_has_an_example_of_each_name() -> None:
    assert set(SECTIONS) == set(NAMES)
    assert all(examples(name) for name in NAMES)


async def test_routers(settings: Settings, extend: Extend) -> None:
    extend.by("routers")
    async with asking(settings) as client:
        assert (await client.get("/orders/7")).json() == {"id": 7}


ORIGIN = {"Origin": "https://shop.example.com"}


def has_all_headers(headers: Any) -> None:
    assert headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
    assert headers["Access-Control-Expose-Headers"] == "Location, Retry-After, X-Request-ID"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert len(headers["X-Request-ID"]) == 32


@contextmanager
def served(settings: Settings, folder: Path, **variables: str) -> Iterator[tuple[Process, int]]:
    """SERVICE behind the middleware of the page, and the port that it listens at."""
    (folder / "extended_service.py").write_text(examples("middleware")[0] + SERVICE)
    url = settings.database.url.get_secret_value()
    with uvicorn("extended_service:app", folder=folder, DATABASE_URL=url, **variables) as process:
        yield (process, port_of(process))


def test_what_middleware_adds_stands_on_every_error_and_a_bug_is_logged_once(
    settings: Settings, tmp_path: Path
) -> None:
    with served(settings, tmp_path) as (process, port):
        requests = [
            ("GET", "/bug", b"", 500),
            ("GET", "/nowhere", b"", 404),
            ("DELETE", "/items", b"", 405),
            ("POST", "/items", b"{}", 422),
            ("POST", "/items", b" " * 2_000_000, 413),
        ]
        for method, path, body, status in requests:
            with closing(connected(port)) as connection:
                connection.request(method, path, body, {**ORIGIN, "Content-Type": "application/json"})
                response = connection.getresponse()
                assert response.status == status
                assert json.load(response)["request_id"] == response.headers["X-Request-ID"]
                assert response.headers["X-Base"] == "added"
                has_all_headers(response.headers)
        with closing(connected(port)) as connection:
            connection.request("OPTIONS", "/items", headers={**ORIGIN, "Access-Control-Request-Method": "POST"})
            assert connection.getresponse().status == 200
        output = process.output
        for number in (0, 1, 100):
            with closing(connected(port)) as connection, pytest.raises((IncompleteRead, RemoteDisconnected)):
                connection.request("GET", f"/broken/{number}")
                connection.getresponse().read()
    (bug,) = [line for line in output.splitlines() if "a bug of the team's" in line]
    assert json.loads(bug)["level"] == "ERROR"
    assert output.count("Traceback") == 1


def test_clients_that_hang_up_in_a_streamed_answer_leave_no_connection_behind_any_middleware(
    settings: Settings, tmp_path: Path
) -> None:
    with served(settings, tmp_path, DATABASE_POOL_SIZE="1", DATABASE_MAX_OVERFLOW="0") as (_, port):
        for _ in range(3):
            with closing(connected(port)) as connection:
                connection.request("GET", "/endless")
                assert connection.getresponse().read(1000)
        with closing(connected(port)) as connection:
            connection.request("GET", "/one")
            assert connection.getresponse().read() == b"1"


async def test_what_middleware_adds_stands_on_a_refusal_by_overload(
    settings: Settings, extend: Extend, probe_database: Callable[..., Database]
) -> None:
    extend.by("middleware")
    app = create_app(settings)
    app.state.database = probe_database(pool_size=1, max_overflow=0, pool_timeout=10)
    async with (
        AsyncClient(transport=ASGITransport(app=app), base_url="http://test") as client,
        full(app.state.database),
    ):
        response = await client.get("/nowhere", headers=ORIGIN)
    assert response.status_code == 503
    has_all_headers(response.headers)


async def test_exception_handlers(settings: Settings, extend: Extend) -> None:
    defined = extend.by("exception_handlers")
    router = APIRouter()

    @router.get("/order")
    async def order() -> None:
        raise defined["OutOfStock"]

    extend.set("routers", [router])
    async with asking(settings) as client:
        response = await client.get("/order")
    assert (response.status_code, response.json()["type"]) == (409, "urn:problem:out-of-stock")


async def test_readiness_checks(settings: Settings, extend: Extend) -> None:
    defined = extend.by("readiness_checks")
    async with asking(settings) as client:
        response = await client.get("/health/ready")
        assert (response.status_code, response.json()["reason"]) == (503, "PricesAreMissing")
    defined["prices"]["tea"] = 3.5
    async with asking(settings) as client:
        assert (await client.get("/health/ready")).status_code == 200


@pytest.fixture
def environment(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """With the database's URL, in a folder without `.env`."""
    monkeypatch.setenv("DATABASE_URL", settings.database.url.get_secret_value())
    for name in ("MAIL_SERVER", "MAIL_PASSWORD", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_settings_of_the_team(environment: pytest.MonkeyPatch, extend: Extend) -> None:
    extend.by("Settings")
    environment.setenv("MAIL_SERVER", "mail.internal")
    environment.setenv("MAIL_PASSWORD", "secret")
    loaded: Any = load_settings()
    assert (loaded.mail_server, loaded.mail_password) == ("mail.internal", SecretStr("secret"))


@pytest.mark.usefixtures("no_blocking_calls")
def test_settings_from_files(
    settings: Settings, environment: pytest.MonkeyPatch, extend: Extend, tmp_path: Path
) -> None:
    environment.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "secrets"))
    extend.by("Settings", 1)
    environment.setenv("MAIL_PASSWORD", "of the environment")
    loaded: Any = load_settings()  # there is no folder yet
    assert loaded.mail_password == SecretStr("of the environment")
    environment.delenv("MAIL_PASSWORD")
    environment.delenv("DATABASE_URL")
    environment.setenv("DATABASE_POOL_SIZE", "7")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "mail_password").write_text("of the file")
    (tmp_path / "secrets" / "database_url").write_text(settings.database.url.get_secret_value())
    (tmp_path / "secrets" / "database_pool_size").write_text("9")
    loaded = load_settings()
    assert loaded.mail_password == SecretStr("of the file")
    assert loaded.database.url == settings.database.url
    assert loaded.database.pool_size == 7
    assert load_database_settings() == loaded.database, "what migrations and commands read"
    environment.setattr(development, "DATA", tmp_path)  # not that of a `make dev` that runs
    with development.database():  # as `make migrate`, `make shell` and `make seed`
        assert development.where().endswith(f"/{loaded.database.target.database}")


async def test_database_password(extend: Extend, tmp_path: Path) -> None:
    async def opened_with(password: str) -> str:
        return password

    extend.by("database_password")["TOKENS"] = tmp_path
    await asyncio.to_thread((tmp_path / "db.example.com").write_text, "token")
    url = SecretStr(f"{dialect.DIALECT.partition('+')[0]}://ada@db.example.com/orders")
    source = DatabaseSettings(_env_file=None, url=url).target.password_source
    assert source is not None
    assert await source.connect(("db.example.com", dialect.PORT, "ada"), opened_with) == "token"


async def test_lifespan(settings: Settings, extend: Extend) -> None:
    extend.by("lifespan")
    router = APIRouter()

    @router.post("/mails")
    async def send(request: Request) -> None:
        request.state.mails.put_nowait("Hello")

    extend.set("routers", [router])
    async with asking(settings) as client:
        assert (await client.post("/mails")).status_code == 200
        (task,) = [task for task in asyncio.all_tasks() if "deliver" in str(task.get_coro())]
    assert task.cancelled()


async def test_a_lifespan_opens_after_the_database_and_closes_before_it(settings: Settings, extend: Extend) -> None:
    seen: list[tuple[bool, object]] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database: Database = app.state.database
        for _ in range(2):
            async with database.read() as session:
                seen.append((app.state.settings is settings, await value(session, select(1))))
            if len(seen) == 1:
                yield

    extend.set("lifespan", lifespan)
    async with asking(settings):
        pass
    assert seen == [(True, 1), (True, 1)]


async def test_a_lifespan_that_fails_stops_the_start_and_closes_the_database(
    settings: Settings, extend: Extend
) -> None:
    databases: list[Database] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        databases.append(app.state.database)
        raise CannotStart("The mail server cannot be reached")
        yield

    extend.set("lifespan", lifespan)
    with pytest.raises(CannotStart, match=r"^The mail server cannot be reached$"):
        async with asking(settings):
            pass
    assert databases[0].status().open == 0
    with pytest.raises(Exception, match="closed"):
        async with databases[0].read() as session:
            await value(session, select(1))


def test_configure_logging(settings: Settings, tmp_path: Path) -> None:
    """In a process of its own: what is configured stays."""
    (example,) = examples("configure_logging")
    service = f"{example}\nfrom app import extensions\nextensions.configure_logging = configure_logging\n"
    (tmp_path / "logging_service.py").write_text(service + "from app.main import create_app\napp = create_app()\n")
    url = settings.database.url.get_secret_value()
    with uvicorn("logging_service:app", folder=tmp_path, DATABASE_URL=url) as process:
        port = port_of(process)
        with closing(connected(port)) as connection:
            connection.request("GET", "/nowhere")
            connection.getresponse().read()
    lines = [json.loads(line) for line in process.output.splitlines() if line.startswith("{")]
    assert {line["team"] for line in lines} == {"orders"}
    assert "app.requests" not in {line["name"] for line in lines}


async def test_fastapi_options(settings: Settings, extend: Extend) -> None:
    extend.by("fastapi_options")
    async with asking(settings) as client:
        document = (await client.get("/openapi.json")).json()
        said = document["info"]["title"], document["info"]["description"]
        assert said == ("Orders", "What was ordered, and by whom")
        assert '"displayRequestDuration": true' in (await client.get("/docs")).text


def test_pytest_plugins(settings: Settings, tmp_path: Path) -> None:
    """Another pytest, with tests/conftest.py, to which app/extensions.py names a module of the team's."""
    (example,) = examples("pytest_plugins")
    example = example.replace("tests.fixtures", "tests.fixtures_of_this_test")  # this service may have one of that name
    team = f"import tests\nfrom app import extensions\n\ntests.__path__.append({str(tmp_path)!r})\n{example}"
    hand_over = 'extensions.pytest_plugins = pytest_plugins\npytest_plugins = ["tests.conftest"]\n'
    (tmp_path / "conftest.py").write_text(team + hand_over)
    (tmp_path / "fixtures_of_this_test.py").write_text(
        "import pytest\n\n\n@pytest.fixture\ndef orders():\n    return 3\n"
    )
    (tmp_path / "test_orders.py").write_text("def test_orders(orders):\n    assert orders == 3\n")
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": settings.database.url.get_secret_value()}
    with Process("pytest", "test_orders.py", folder=tmp_path, environment=environment) as process:
        assert process.exit_code() == 0, process.output
        assert "1 passed" in process.output
