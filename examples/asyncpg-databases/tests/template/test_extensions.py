"""Each name of app/extensions.py is optional; what a team puts there is used, and goes before the template's own."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import pytest
from blockbuster import BlockBuster
from fastapi import APIRouter, Depends, FastAPI, Request, Response, WebSocket
from fastapi.middleware import Middleware
from fastapi.routing import APIRoute
from httpx import ASGITransport, AsyncClient
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import extensions
from app.database import PoolTimeout, ServerGone, UniqueViolation
from app.lifespan import CannotStart
from app.main import create_app
from app.problems import problem
from app.request_id import HEADER, current_request_id
from app.routing import include
from app.settings import Settings

NAMES = (
    "routers",
    "middleware",
    "exception_handlers",
    "readiness_checks",
    "Settings",
    "database_password",
    "lifespan",
    "configure_logging",
    "fastapi_options",
    "pytest_plugins",
)

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


async def number() -> int:
    return 1


@router.get("/numbers/{id}")
async def numbers(id: int, number: Annotated[int, Depends(number)]) -> int:
    return number


async def test_a_router_is_served_by_several_applications_each_with_its_overrides(
    settings: Settings, extend: pytest.MonkeyPatch
) -> None:
    extend.setattr(extensions, "routers", [router], raising=False)
    first, second = create_app(settings), create_app(settings)
    first.dependency_overrides[number] = lambda: 7
    answers = []
    for app in (first, second):
        assert {type(route) for route in app.routes} <= {Route, APIRoute}, "no router is left inside the application's"
        async with AsyncClient(transport=ASGITransport(app=app), base_url="http://test") as client:
            answers.append((await client.get("/numbers/1")).json())
            assert (await client.get("/numbers/x")).status_code == 422
            assert (await client.post("/numbers/1")).status_code == 405
    assert answers == [7, 1]


def routers_of_all_kinds() -> Iterator[APIRouter]:
    outer, prefixed, guarded, live = (
        APIRouter(),
        APIRouter(prefix="/prefixed", tags=["a"]),
        APIRouter(dependencies=[Depends(number)]),
        APIRouter(),
    )
    prefixed.add_api_route("/x/{id}", number, status_code=202, summary="Words", responses={404: {"description": "no"}})
    guarded.add_api_route("/guarded", number, methods=["PUT"], tags=["b"], deprecated=True)
    outer.include_router(prefixed, prefix="/outer")

    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    live.add_api_websocket_route("/live", socket)
    live.add_api_route("/beside", number, include_in_schema=False)
    yield from (prefixed, guarded, outer, live)


def test_what_is_included_is_documented_as_by_fastapi_itself() -> None:
    ours, theirs = FastAPI(), FastAPI()
    for each in routers_of_all_kinds():
        include(ours, each)
        theirs.include_router(each)
    assert ours.openapi() == theirs.openapi()
    assert str(ours.url_path_for("number", id=7)) == str(theirs.url_path_for("number", id=7)) == "/prefixed/x/7"


async def deny() -> None:
    raise HTTPException(401)


async def test_what_an_application_or_a_router_adds_to_its_routes_is_kept() -> None:
    guarded, started = FastAPI(dependencies=[Depends(deny)]), []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        started.append(app)
        yield

    living, plain = APIRouter(lifespan=lifespan), APIRouter()
    for each in (living, plain):
        each.add_api_route(f"/{id(each)}", number)
        include(guarded, each)
    async with (
        guarded.router.lifespan_context(guarded),
        AsyncClient(transport=ASGITransport(app=guarded), base_url="http://test") as client,
    ):
        assert {(await client.get(f"/{id(each)}")).status_code for each in (living, plain)} == {401}
    assert started == [guarded]


def test_tags_are_described_in_the_teams_words(settings: Settings, extend: pytest.MonkeyPatch) -> None:
    assert "orders" not in str(create_app(settings).openapi()["tags"])
    orders = {"name": "orders", "description": "What was ordered."}
    extend.setattr(extensions, "fastapi_options", {"openapi_tags": [orders]}, raising=False)
    assert orders in create_app(settings).openapi()["tags"]


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


@pytest.mark.parametrize("path", ["/{path:path}", "/docs/{page}", "/{page}", "/health/{check}"])
async def test_a_route_of_the_teams_that_fits_the_services_own_paths_hides_none(
    path: str, settings: Settings, extend: pytest.MonkeyPatch
) -> None:
    everything = APIRouter()
    everything.add_api_route(path, orders)
    extend.setattr(extensions, "routers", [everything], raising=False)
    app = create_app(settings)
    asking = AsyncClient(transport=ASGITransport(app=app), base_url="http://test")
    async with app.router.lifespan_context(app), asking as client:
        for own in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs", "/docs/favicon.png"):
            response = await client.get(own)
            assert (response.status_code, response.text == "[1]") == (200, False)


def test_what_most_requests_are_for_is_looked_at_first(settings: Settings, extend: pytest.MonkeyPatch) -> None:
    extend.setattr(extensions, "routers", [router], raising=False)
    assert getattr(create_app(settings).routes[0], "path", None) == "/orders"


async def test_applications_that_are_mounted_answer_with_the_same_problems(settings: Settings) -> None:
    app, mounted, inner = create_app(settings), FastAPI(), FastAPI()

    async def own(request: Request, error: Exception) -> Response:
        return Response("mine", 418)

    mounted.add_exception_handler(ServerGone, own)
    for each in (mounted, inner):
        each.add_api_route("/full", raising(PoolTimeout()))
        each.add_api_route("/gone", raising(ServerGone()))
        each.add_api_route("/bug", raising(RuntimeError("s3cret")))
        each.add_api_route("/number/{number}", numbered)
    mounted.mount("/inner", inner)
    router = APIRouter()
    router.mount("/mounted", mounted)
    app.include_router(router)
    async with app.router.lifespan_context(app):
        transport = ASGITransport(app=app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            for prefix in ("/mounted", "/mounted/inner"):
                for path, status in (("/full", 503), ("/bug", 500), ("/number/s3cret", 422), ("/nowhere", 404)):
                    answer = await client.get(prefix + path)
                    assert (answer.status_code, answer.json()["status"]) == (status, status)
                    assert answer.headers["Content-Type"] == "application/problem+json"
                    assert "s3cret" not in answer.text
            for prefix in ("/mounted", "/mounted/inner"):  # an inner one has the handlers of the one around it
                assert (await client.get(f"{prefix}/gone")).text == "mine"


async def test_the_teams_handler_of_bugs_answers_those_of_mounted_applications_too(
    settings: Settings, extend: pytest.MonkeyPatch
) -> None:
    async def of_team(request: Request, error: Exception) -> Response:
        return Response("the team's", 500)

    extend.setattr(extensions, "exception_handlers", {Exception: of_team}, raising=False)
    app, mounted = create_app(settings), FastAPI()
    for each in (app, mounted):
        each.add_api_route("/bug", raising(RuntimeError()))
    app.mount("/mounted", mounted)
    async with app.router.lifespan_context(app):
        transport = ASGITransport(app=app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            for path in ("/bug", "/mounted/bug"):
                assert (await client.get(path)).text == "the team's"


async def test_an_application_that_sends_no_headers_may_be_mounted(settings: Settings) -> None:
    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"plain"})

    app = create_app(settings)
    app.mount("/plain", plain)
    asking = AsyncClient(transport=ASGITransport(app=app), base_url="http://test")
    async with app.router.lifespan_context(app), asking as client:
        answer = await client.get("/plain/")
    assert (answer.status_code, answer.text) == (200, "plain")
    assert answer.headers["X-Request-ID"]


def raising(error: Exception) -> Callable[[], Awaitable[None]]:
    async def route() -> None:
        raise error

    return route


async def numbered(number: int) -> int:
    return number
