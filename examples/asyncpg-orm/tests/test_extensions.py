"""Each name of app/extensions.py is optional; what a team puts there is used, and goes before the template's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from fastapi import APIRouter, Request, Response
from fastapi.middleware import Middleware
from httpx import ASGITransport, AsyncClient
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import extensions
from app.database import UniqueViolation
from app.lifespan import CannotStart
from app.main import create_app
from app.problems import problem
from app.request_id import HEADER, current_request_id
from app.settings import Settings

NAMES = ("routers", "middleware", "exception_handlers", "readiness_checks", "Settings", "pytest_plugins")

router = APIRouter()


class OutOfStock(Exception):
    pass


@router.get("/orders")
async def orders() -> list[int]:
    return [1]


@router.post("/orders")
async def order() -> None:
    raise OutOfStock


@router.post("/duplicates")
async def duplicate() -> None:
    raise UniqueViolation


class AddHeader:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-team", str(current_request_id()).encode())]
            await send(message)

        await self.app(scope, receive, send_more)


async def sold_out(request: Request, error: Exception) -> Response:
    return problem(409, type="urn:problem:out-of-stock", title="It is out of stock")


@pytest.fixture(autouse=True)
def extend(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An app/extensions.py without a name; the settings of all tests are made before, with those that it has."""
    for name in NAMES:
        monkeypatch.delattr(extensions, name, raising=False)
    return monkeypatch


@asynccontextmanager
async def asking(settings: Settings) -> AsyncIterator[AsyncClient]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = ASGITransport(app=app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


async def test_a_service_starts_without_any_of_the_names(settings: Settings) -> None:
    async with asking(settings) as client:
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/orders")).status_code == 404


async def test_a_router_is_served(settings: Settings, extend: pytest.MonkeyPatch) -> None:
    extend.setattr(extensions, "routers", [router], raising=False)
    async with asking(settings) as client:
        assert (await client.get("/orders")).json() == [1]


async def test_middleware_runs_where_the_id_of_the_request_is_known(
    settings: Settings, extend: pytest.MonkeyPatch
) -> None:
    extend.setattr(extensions, "middleware", [Middleware(AddHeader)], raising=False)
    async with asking(settings) as client:
        response = await client.get("/health/live")
    assert response.headers["X-Team"] == response.headers[HEADER]


async def test_a_handler_answers_an_error_with_a_problem(settings: Settings, extend: pytest.MonkeyPatch) -> None:
    extend.setattr(extensions, "routers", [router], raising=False)
    async with asking(settings) as client:
        assert (await client.post("/orders")).status_code == 500
    extend.setattr(extensions, "exception_handlers", {OutOfStock: sold_out}, raising=False)
    async with asking(settings) as client:
        response = await client.post("/orders")
    assert response.status_code == 409
    assert response.json()["type"] == "urn:problem:out-of-stock"
    assert response.json()["request_id"] == response.headers[HEADER]


@pytest.mark.parametrize(
    ("error", "method", "path"), [(HTTPException, "GET", "/"), (UniqueViolation, "POST", "/duplicates")]
)
async def test_a_handler_goes_before_the_one_of_the_template(
    error: type[Exception], method: str, path: str, settings: Settings, extend: pytest.MonkeyPatch
) -> None:
    extend.setattr(extensions, "routers", [router], raising=False)
    extend.setattr(extensions, "exception_handlers", {error: sold_out}, raising=False)
    async with asking(settings) as client:
        response = await client.request(method, path)
    assert response.json()["type"] == "urn:problem:out-of-stock"


@pytest.fixture
def at_start(
    settings: Settings, extend: pytest.MonkeyPatch, no_blocking_calls: BlockBuster, tmp_path: Path
) -> pytest.MonkeyPatch:
    """The settings are read from the environment, with one more that is required; no `.env` is there."""

    class TeamSettings(Settings):
        mail_server: str

    extend.setattr(extensions, "Settings", TeamSettings, raising=False)
    extend.setenv("DATABASE_URL", settings.database.url.get_secret_value())
    extend.delenv("MAIL_SERVER", raising=False)
    extend.chdir(tmp_path)
    no_blocking_calls.deactivate()  # the start looks for `.env` while nothing is served yet
    return extend


async def test_settings_are_read_at_the_start(at_start: pytest.MonkeyPatch) -> None:
    at_start.setenv("MAIL_SERVER", "mail.internal")
    app = create_app()
    async with app.router.lifespan_context(app):
        assert app.state.settings.mail_server == "mail.internal"


@pytest.mark.usefixtures("at_start")
async def test_a_setting_that_is_missing_stops_the_start_with_one_sentence() -> None:
    app = create_app()
    with pytest.raises(CannotStart, match=r"^MAIL_SERVER is not set$"):
        async with app.router.lifespan_context(app):
            pass
