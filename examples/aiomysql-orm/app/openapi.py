"""OpenAPI says of each route what it really answers: problems of the data layer and of reading the request too, bodies
that a dependency reads, and operation ids that make good names of methods in generated clients.

It is added to what FastAPI says when the document is made, so no route is slower for it, nor has to say it.
"""

from collections import Counter
from collections.abc import Iterator
from threading import Lock
from typing import Any, get_args

from fastapi import FastAPI
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from app.bodies import RowsBody
from app.database import CurrentDatabase, ReadSession, WriteSession
from app.overload import is_for_operators
from app.request_id import HEADER
from app.responses import PROBLEM_SCHEMAS, SCHEMAS, problems

Object = dict[str, Any]

TAGS: list[Object] = [
    {"name": "health", "description": "Whether the process is alive, and whether it may be sent requests."},
    {"name": "metrics", "description": "What Prometheus collects of this process."},
]

_DATABASE = [get_args(kind)[1].dependency for kind in (CurrentDatabase, ReadSession, WriteSession)]
_REQUEST_ID = {"description": "The id of the request", "required": True, "schema": {"type": "string"}}
_RETRY_AFTER = {"description": "In seconds", "required": True, "schema": {"type": "integer"}}


def describe(app: FastAPI) -> None:
    """Let `app.openapi()` say all of it."""
    app.openapi_tags = [*TAGS, *(app.openapi_tags or [])]
    made_by_fastapi = app.openapi
    completed: Object | None = None
    lock = Lock()  # it is made in a thread

    def openapi() -> Object:
        nonlocal completed
        with lock:
            document = made_by_fastapi()
            if document is not completed:  # FastAPI makes another when routes were added
                _complete(document, [*_routes(app)])
                completed = document
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # https://fastapi.tiangolo.com/how-to/extending-openapi/


def _routes(app: FastAPI) -> Iterator[RouteContext]:
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute) and route.include_in_schema:
            yield route


def _complete(document: Object, routes: list[RouteContext]) -> None:
    _tidy(document)
    schemas = document["components"]["schemas"]
    names = Counter(route.operation_id or route.name for route in routes for _ in route.methods or ())
    for route in routes:
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            made_by_default = isinstance(route.generate_unique_id_function, DefaultPlaceholder)
            if made_by_default and route.operation_id is None and names[route.name] == 1:
                operation["operationId"] = route.name
            for parameter in operation.get("parameters", []):
                _without_null(parameter.get("schema", {}))
            calls = [*_calls(route.dependant)]
            bodies = [call for call in calls if isinstance(call, RowsBody)]
            for body in bodies:
                if "requestBody" not in operation:
                    operation.update(body.operation)
                    schemas.update(body.definitions)
            asks_database = any(call is each for call in calls for each in _DATABASE)
            _complete_responses(operation, {*_statuses(route, asks_database, bool(bodies))})
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which no route here answers with
        if f"'{SCHEMAS}{name}'" not in str(document):  # callbacks and webhooks are not answered here
            schemas.pop(name, None)
    document["components"]["schemas"] = dict(sorted({**PROBLEM_SCHEMAS, **schemas}.items()))


def _tidy(document: Object) -> None:
    """FastAPI makes a float of 2**63, and `Page_Developer_` of a model that is called `DeveloperPage`."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    titles = {name: schema.get("title", "") for name, schema in schemas.items() if name.endswith("_")}
    names = {name: title for name, title in titles.items() if title.isidentifier() and title not in schemas}
    document["components"]["schemas"] = {names.get(name, name): schema for name, schema in schemas.items()}
    document.update(_tidied(document, {SCHEMAS + name: SCHEMAS + title for name, title in names.items()}))


def _tidied(value: Any, references: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _tidied(each, references) for key, each in value.items()}
    if isinstance(value, list):
        return [_tidied(each, references) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return references.get(value, value) if isinstance(value, str) else value


def _calls(dependant: Dependant) -> Iterator[object]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _calls(dependency)


def _without_null(schema: Object) -> None:
    """A parameter that is optional may be left out; there is no way to write null into a URL or a header."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])


def _statuses(route: RouteContext, asks_database: bool, reads_rows: bool) -> Iterator[int]:
    """Those of the problems that are answered before, around and after the route's own code."""
    if route.body_field:
        yield from (400, 413)
    if reads_rows:
        yield from (413, 415, 422)
    if not is_for_operators(route.path_format or ""):
        yield from (500, 503)
    if asks_database:
        yield 504


def _complete_responses(operation: Object, statuses: set[int]) -> None:
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
        statuses = {*statuses, 422}
    for status, response in problems(*statuses).items():
        responses.setdefault(str(status), response)
    for status, response in responses.items():
        if status[0] in "45" and status[1:].isdecimal():
            response.setdefault("content", problems(int(status))[int(status)]["content"])
        headers = response.setdefault("headers", {})
        headers.setdefault(HEADER, _REQUEST_ID)
        if status == "503":
            headers.setdefault("Retry-After", _RETRY_AFTER)
        for content in response.get("content", {}).values():
            if content.get("schema", {}).get("title", "").startswith("Response "):  # of FastAPI, from its operation id
                del content["schema"]["title"]
    operation["responses"] = dict(sorted(responses.items()))
