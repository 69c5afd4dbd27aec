"""OpenAPI says what is answered: each problem with its members, bodies that dependencies read, names for clients."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import jsonschema_rs
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.routing import APIRoute
from httpx import ASGITransport, AsyncClient, Response
from pydantic import BaseModel, Field

from app import extensions
from app.bodies import RowsBody
from app.database import CurrentDatabase, DatabaseError, InvalidValue, ReadSession, UniqueViolation, WriteSession
from app.database.errors import TransactionTimeout, ValueTooLarge
from app.main import create_app
from app.pagination import LONGEST, Cursor, Page
from app.problems import MEDIA_TYPE, problem
from app.request_id import HEADER
from app.responses import CREATED, problems
from app.routing import include
from app.settings import Settings

JSON = {"Content-Type": "application/json"}
ALWAYS = {"500", "503"}
ERRORS: list[DatabaseError] = [
    InvalidValue(row=1),
    TransactionTimeout(),
    UniqueViolation("It is taken", constraint="uq_parts_name", row=2),
    ValueTooLarge(),
]


class Part(BaseModel):
    name: str = Field(max_length=5)


class Thing(BaseModel):
    parts: list[Part]


rows = RowsBody(Thing, rows=2, size=100)
router = APIRouter(prefix="/things", tags=["things"])


@router.post("/bulk", status_code=201)
async def create_things(things: Annotated[list[Thing], Depends(rows)], session: WriteSession) -> int:
    return len(things)


@router.get("", responses={409: {"description": "Said in FastAPI's words"}})
async def list_things(session: ReadSession, cursor: Cursor = None, limit: int | None = None) -> Page[Thing]:
    return Page(items=[])


@router.post("", status_code=201, responses=CREATED | problems(409, left={"type": "integer"}))
async def create_thing(thing: Thing) -> list[Thing]:
    raise HTTPException(418)


@router.delete("/{id}", status_code=204, responses=problems(404, 409))
async def remove_thing(id: int, database: CurrentDatabase) -> None:
    if 0 < id <= len(ERRORS):
        raise ERRORS[id - 1]
    raise RuntimeError if id else HTTPException(404)


@router.get("/count", name="count", responses={401: {"description": "No", "content": {"text/plain": {}}}})
async def count() -> int:
    return 1


@router.get("/counted", name="count")
async def counted() -> Any:
    return problem(409, left=1)


@pytest.fixture
def service(settings: Settings) -> FastAPI:
    app = create_app(settings)
    include(app, router)
    outer = APIRouter()
    outer.include_router(router, prefix="/v2")  # which FastAPI keeps as a router inside of its own
    app.include_router(outer)
    app.openapi()  # here, since it would block the event loop
    return app


@pytest.fixture
async def asking(service: FastAPI) -> AsyncIterator[AsyncClient]:
    async with service.router.lifespan_context(service):
        transport = ASGITransport(app=service, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


def operation(service: FastAPI, path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = service.openapi()["paths"][path][method.lower()]
    return found


def schema_of(service: FastAPI, path: str, method: str, status: int) -> dict[str, Any]:
    """The schema of a problem document, with the components that it refers to."""
    content = operation(service, path, method)["responses"][str(status)]["content"]
    assert [*content] == [MEDIA_TYPE]
    return {**content[MEDIA_TYPE]["schema"], "components": service.openapi()["components"]}


@pytest.mark.parametrize("prefix", ["/things", "/v2/things"])
def test_each_route_names_the_problems_that_it_may_answer(service: FastAPI, prefix: str) -> None:
    def statuses(method: str, path: str) -> set[str]:
        return set(operation(service, prefix + path, method)["responses"])

    assert statuses("GET", "/counted") == {"200"} | ALWAYS
    assert statuses("GET", "") == {"200", "409", "422", "504"} | ALWAYS
    assert statuses("POST", "") == {"201", "400", "409", "413", "422"} | ALWAYS
    assert statuses("DELETE", "/{id}") == {"204", "404", "409", "422", "504"} | ALWAYS
    assert statuses("POST", "/bulk") == {"201", "413", "415", "422", "504"} | ALWAYS


def test_what_is_served_under_overload_too_names_no_problem_of_it(service: FastAPI) -> None:
    assert set(operation(service, "/health/live", "GET")["responses"]) == {"200"}
    assert set(operation(service, "/health/ready", "GET")["responses"]) == {"200", "503"}
    metrics = operation(service, "/metrics", "GET")["responses"]
    assert {status: [*response["content"]] for status, response in metrics.items()} == {"200": ["text/plain"]}


def test_what_a_route_says_of_its_own_stays(service: FastAPI) -> None:
    assert operation(service, "/things", "GET")["responses"]["409"]["description"] == "Said in FastAPI's words"
    assert [*operation(service, "/things/count", "GET")["responses"]["401"]["content"]] == ["text/plain"]
    assert "ConflictProblem" in str(schema_of(service, "/things", "GET", 409)["$ref"])


def test_nothing_of_fastapis_own_errors_is_left(service: FastAPI) -> None:
    assert "HTTPValidationError" not in str(service.openapi())
    assert "ValidationError" not in service.openapi()["components"]["schemas"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "members"),
    [
        ("POST", "/things", b"\xff", 400, {"detail"}),
        ("POST", "/things", b"{", 422, {"errors"}),
        ("POST", "/things", b'{"parts": [{"name": "longer"}]}', 422, {"errors"}),
        ("GET", "/things?limit=x", None, 422, {"errors"}),
        ("DELETE", "/things/x", None, 422, {"errors"}),
        ("DELETE", "/things/0", None, 404, set()),
        ("DELETE", "/things/1", None, 422, {"row"}),
        ("DELETE", "/things/2", None, 504, set()),
        ("DELETE", "/things/3", None, 409, {"detail", "constraint", "row"}),
        ("DELETE", "/things/5", None, 500, set()),
        ("POST", "/things/bulk", b"[%s]" % (b"0," * 60), 413, {"detail"}),
        ("POST", "/things/bulk", b'[{"parts": 1}]', 422, {"errors"}),
    ],
)
async def test_a_problem_has_the_members_that_its_schema_names(
    service: FastAPI, asking: AsyncClient, method: str, path: str, body: bytes | None, status: int, members: set[str]
) -> None:
    response = await asking.request(method, path, content=body, headers=JSON)
    assert response.status_code == status
    template = path.partition("?")[0] if method != "DELETE" else "/things/{id}"
    schema = schema_of(service, template, method, status)
    jsonschema_rs.validate(schema, response.json())
    assert set(response.json()) - {"type", "title", "status", "request_id"} == members
    assert members <= named(schema)


def named(schema: dict[str, Any]) -> set[str]:
    """The members that a schema has words for."""
    components = schema["components"]["schemas"]
    parts = [schema]
    names: set[str] = set()
    while parts:
        part = parts.pop()
        names |= set(part.get("properties", {}))
        parts += part.get("allOf", [])
        if "$ref" in part:
            parts.append(components[part["$ref"].rpartition("/")[2]])
    return names


async def test_a_body_that_is_not_json_is_named_by_a_route_that_reads_rows(
    service: FastAPI, asking: AsyncClient
) -> None:
    response = await asking.post("/things/bulk", content=b"[]", headers={"Content-Type": "text/csv"})
    assert response.status_code == 415
    jsonschema_rs.validate(schema_of(service, "/things/bulk", "POST", 415), response.json())


def test_members_of_a_route_are_added_to_the_problem(service: FastAPI) -> None:
    schema = schema_of(service, "/things", "POST", 409)
    assert {"left", "constraint", "request_id"} <= named(schema)
    document = {"type": "about:blank", "title": "Conflict", "status": 409, "request_id": "1"}
    jsonschema_rs.validate(schema, {**document, "left": 1})
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema, document)


async def test_headers_are_named_where_they_come(service: FastAPI, asking: AsyncClient) -> None:
    for methods in service.openapi()["paths"].values():
        for found in methods.values():
            for status, response in found["responses"].items():
                assert HEADER in response["headers"]
                assert ("Retry-After" in response["headers"]) == (status == "503")
    assert "Location" in operation(service, "/things", "POST")["responses"]["201"]["headers"]
    assert HEADER in (await asking.delete("/things/5")).headers


def test_the_rows_that_a_dependency_reads_are_described_by_components(service: FastAPI) -> None:
    body = operation(service, "/things/bulk", "POST")["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert (body["required"], schema["maxItems"], schema["items"]) == (True, 2, {"$ref": "#/components/schemas/Thing"})
    assert {"Thing", "Part"} <= set(service.openapi()["components"]["schemas"])
    document = {**schema, "components": service.openapi()["components"]}
    jsonschema_rs.validate(document, [{"parts": [{"name": "bolt"}]}])


def test_a_body_that_a_route_describes_itself_stays_as_it_is(settings: Settings) -> None:
    app, older = create_app(settings), APIRouter()
    older.add_api_route("/older", create_things, methods=["PUT"], openapi_extra=rows.openapi)
    include(app, older)
    found = operation(app, "/older", "PUT")
    assert found["requestBody"] == rows.openapi["requestBody"]
    assert "parts" in found["requestBody"]["content"]["application/json"]["schema"]["items"]["properties"]
    assert {"413", "415"} <= set(found["responses"])


def test_an_operation_is_called_as_its_function_unless_two_are_called_alike(settings: Settings) -> None:
    app = create_app(settings)
    include(app, router)
    named = router.routes[0]
    operations = {
        found["operationId"]: path for path, methods in app.openapi()["paths"].items() for found in methods.values()
    }
    assert operations["create_things"] == "/things/bulk"
    assert operations["remove_thing"] == "/things/{id}"
    assert {"count_things_count_get", "count_things_counted_get"} <= set(operations), "FastAPI's, which are unique"
    assert getattr(named, "operation_id", None) is None, "the router's own routes stay as they were"


def test_operation_ids_that_a_team_makes_stay(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_team(route: APIRoute) -> str:
        return f"team-{route.name}"

    def ids(app: FastAPI) -> set[str]:
        return {found["operationId"] for methods in app.openapi()["paths"].values() for found in methods.values()}

    app, by_router = (create_app(settings), APIRouter(generate_unique_id_function=of_team))
    by_router.add_api_route("/one", count, name="one")
    plain = APIRouter()
    plain.add_api_route("/two", count, name="two")
    plain.add_api_route("/three", count, name="three", generate_unique_id_function=of_team)
    include(app, by_router)
    include(app, plain)
    assert {"team-one", "two", "team-three"} <= ids(app)
    monkeypatch.setattr(extensions, "fastapi_options", {"generate_unique_id_function": of_team}, raising=False)
    app = create_app(settings)
    include(app, plain)
    assert {"team-two", "team-three"} <= ids(app)


@pytest.mark.parametrize("status", [460, 499, 520])
def test_a_status_that_the_standard_does_not_know_is_described_too(status: int, settings: Settings) -> None:
    app, team = create_app(settings), APIRouter()
    team.add_api_route("/odd", count, responses={status: {"description": "Odd"}})
    team.add_api_route("/even", count, responses=problems(status))
    include(app, team)
    assert "Problem" in schema_of(app, "/odd", "GET", status)["$ref"]
    assert operation(app, "/even", "GET")["responses"][str(status)]["description"] == f"Status {status}"


def test_no_parameter_is_said_to_take_null(service: FastAPI) -> None:
    parameters = {each["name"]: each for each in operation(service, "/things", "GET")["parameters"]}
    assert parameters["limit"]["schema"]["type"] == "integer"
    assert (parameters["cursor"]["schema"]["type"], parameters["cursor"]["schema"]["maxLength"]) == ("string", LONGEST)
    assert not parameters["cursor"]["required"]


def test_a_page_and_a_list_have_names_that_are_good_for_a_client(service: FastAPI) -> None:
    assert "ThingPage" in service.openapi()["components"]["schemas"]
    created = operation(service, "/things", "POST")["responses"]["201"]["content"]["application/json"]["schema"]
    assert "title" not in created


def test_routes_that_are_added_later_are_described_too(service: FastAPI) -> None:
    service.openapi()
    late = APIRouter()
    late.add_api_route("/late", count, methods=["PUT"])
    include(service, late)
    assert set(operation(service, "/late", "PUT")["responses"]) == {"200"} | ALWAYS
    assert service.openapi() is service.openapi(), "it is made once"


async def test_a_wrong_method_names_those_of_all_routes_at_the_path(asking: AsyncClient) -> None:
    async def allowed(method: str, path: str) -> tuple[int, str | None]:
        response: Response = await asking.request(method, path)
        return response.status_code, response.headers.get("Allow")

    assert await allowed("DELETE", "/things") == (405, "GET, POST")
    assert await allowed("DELETE", "/v2/things") == (405, "GET, POST")
    assert await allowed("PUT", "/things/7") == (405, "DELETE")
    assert await allowed("PUT", "/things/bulk") == (405, "POST")
    assert await allowed("DELETE", "/things/bulk") == (405, "POST"), "a path that is spelt out is no id"
    assert await allowed("DELETE", "/things/bolt") == (422, None)


def test_the_tags_of_the_template_and_of_the_team_are_described(settings: Settings) -> None:
    described = {tag["name"]: tag["description"] for tag in create_app(settings).openapi()["tags"]}
    assert {"health", "metrics"} <= set(described)
    assert all(described.values())


def test_a_parameter_that_has_a_content_and_what_is_called_back_are_left_as_they_are(settings: Settings) -> None:
    app, called = create_app(settings), APIRouter()

    @called.post("{$request.body.url}")
    async def paid(thing: Thing) -> None: ...

    content = {"application/json": {"schema": {"type": "object"}}}
    parameter = {"name": "filter", "in": "query", "content": content}
    team = APIRouter()
    team.add_api_route("/pay", count, methods=["POST"], callbacks=called.routes)
    team.add_api_route("/find", count, openapi_extra={"parameters": [parameter]})
    include(app, team)
    app.webhooks.add_api_route("new-thing", create_thing, methods=["POST"])
    document = app.openapi()
    assert operation(app, "/find", "GET")["parameters"] == [parameter]
    referred = set(re.findall(r"'#/components/schemas/(\w+)'", str(document)))
    assert "HTTPValidationError" in referred
    assert referred <= set(document["components"]["schemas"])


def test_an_id_that_a_route_has_is_no_others(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/one", operation_id="read_it")
    async def one() -> None: ...

    @app.get("/other")
    async def read_it() -> None: ...

    ids = [found["operationId"] for methods in app.openapi()["paths"].values() for found in methods.values()]
    assert sorted(set(ids)) == sorted(ids)
