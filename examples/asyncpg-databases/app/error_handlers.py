"""Which errors become problem documents: those of reading a request, of HTTP, of the data layer, and bugs."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
    websocket_request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Mount

from app.database import DatabaseError
from app.database.translation import of_group
from app.methods import allowed_methods
from app.problems import database_error, phrase, problem

RESERVED = {"type", "title", "status", "detail", "headers", "request_id", "trace_id"}  # the service's own to say
ERRORS = 100  # that an answer to an invalid request names
_OF_FASTAPI = (
    None,
    http_exception_handler,
    request_validation_exception_handler,
    websocket_request_validation_exception_handler,
)
LONGEST_WORDS = 200  # characters of what is said of each: a client chooses the names of its fields


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ClientDisconnect):  # FastAPI says 400 while it reads the body of a route
        return await _hung_up(request, error)
    if error.status_code in (204, 205, 304):  # these never have a body: h11 and httptools refuse to send one
        return Response(status_code=error.status_code, headers=error.headers)
    headers = dict(error.headers or {})
    if (
        request.scope["type"] == "http"
        and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
        and request.method not in (allowed := allowed_methods(request.scope))
    ):  # Starlette says those of the first route at the path
        headers["Allow"] = ", ".join(sorted(allowed)) or headers.get("Allow", "")
    said: Any = error.detail  # FastAPI takes any JSON; RFC 9457 has a text, and members beside it
    if isinstance(said, Mapping):
        members = {str(name): value for name, value in said.items() if name not in RESERVED}
        text = said.get("detail")
        return problem(error.status_code, detail=text if isinstance(text, str) else None, headers=headers, **members)
    if not isinstance(said, str):
        return problem(error.status_code, headers=headers, details=said)
    return problem(error.status_code, detail=None if said == phrase(error.status_code) else said, headers=headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, (RequestValidationError, WebSocketRequestValidationError))
    found = error.errors()
    in_path = request.scope["type"] == "http" and any(tuple(e["loc"][:1]) == ("path",) for e in found)
    if in_path and request.method not in (allowed := allowed_methods(request.scope)):
        # DELETE /orders/bulk, which DELETE /orders/{id} took for an id
        return problem(405, headers={"Allow": ", ".join(sorted(allowed))})
    errors = [
        {"field": ".".join(map(str, e["loc"]))[:LONGEST_WORDS], "detail": e["msg"][:LONGEST_WORDS]}  # not the input
        for e in found[:ERRORS]
    ]
    said = f"{len(found) - ERRORS:,} more errors are not listed" if len(found) > ERRORS else None
    body = getattr(error, "body", None)  # a WebSocket has none
    if body and isinstance(body, bytes):  # as FastAPI leaves one whose type it does not know, that of curl's -d
        said = "The body was not read as JSON: send it with Content-Type: application/json"
    return problem(
        422, type="urn:problem:invalid-request", title="The request is not valid", detail=said, errors=errors
    )


async def _errors_of_tasks(request: Request, error: Exception) -> Response:
    assert isinstance(error, ExceptionGroup)
    if (ours := of_group(error)) is None:
        raise error
    return await database_error(request, ours)


async def _hung_up(request: Request, error: Exception) -> Response:
    """Nobody gets this answer; it is for what counts and logs them."""
    return problem(499, title="The client hung up before its request was complete")


async def _left(socket: WebSocket, error: Exception) -> None:
    """A client that closes its WebSocket is no error of a route that did not expect it just then."""


async def unhandled(request: Request, error: Exception) -> Response:
    # Starlette raises it again afterwards: so the server logs the traceback, and closes the connection. Who is not
    # told sends the next request into it.
    closes = {"Connection": "close"} if request.scope.get("http_version") in ("1.0", "1.1") else {}
    return problem(500, headers=closes)


def add_to_mounted(app: FastAPI) -> None:
    """The applications of FastAPI that are mounted in it answer as it does, where they have no handler of their own."""
    of_bugs = getattr(app.state, "handler_of_bugs", app.exception_handlers.get(Exception, unhandled))
    for route in iter_route_contexts(app.routes):
        mounted = getattr(route.original_route, "app", None)
        if isinstance(route.original_route, Mount) and isinstance(mounted, FastAPI):
            for error, handler in {**app.exception_handlers, Exception: of_bugs}.items():
                if mounted.exception_handlers.get(error) in _OF_FASTAPI:
                    mounted.exception_handlers[error] = handler
            add_to_mounted(mounted)


def add_problem_handlers(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(WebSocketRequestValidationError, _validation_error)
    app.add_exception_handler(ClientDisconnect, _hung_up)
    app.add_exception_handler(WebSocketDisconnect, _left)
    app.add_exception_handler(DatabaseError, database_error)
    app.add_exception_handler(ExceptionGroup, _errors_of_tasks)
    app.add_exception_handler(Exception, unhandled)
