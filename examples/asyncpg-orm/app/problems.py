"""Every error is answered with an RFC 9457 problem document that carries the request's id.

What a client may not see stays out of it: no SQL, no driver's text, no value of a row. The log has the cause.
"""

import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.requests import HTTPConnection
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app.database import DatabaseError, PoolTimeout, SchemaMismatch
from app.methods import allowed_methods
from app.request_id import HEADER, current_request_id, current_trace_id

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "1"  # seconds: what ended in a 503 is over sooner than that, or not for long
ERRORS = 100  # that an answer to an invalid request names
LONGEST_WORDS = 200  # characters of what is said of each: a client chooses the names of its fields

_MISMATCH: dict[str | None, str] = {
    "behind": "The database is behind the code: migrations have not been applied",
    "unknown": "The database was migrated by a newer release, or by another branch",
}


def problem(
    status: int,
    *,
    type: str = "about:blank",
    title: str | None = None,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A response of `application/problem+json`. `members` extend the document; those that are None are left out."""
    request_id = current_request_id()
    document = {
        "type": type,
        "title": title or _phrase(status),
        "status": status,
        "detail": detail,
        "request_id": request_id,
        "trace_id": current_trace_id(),
        **members,
    }
    content = json.dumps({name: value for name, value in document.items() if value is not None})
    response = Response(content, status, headers, media_type=MEDIA_TYPE)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers.setdefault("Retry-After", RETRY_AFTER)
    if request_id:  # an unhandled exception is answered outside of the middleware that adds it
        response.headers[HEADER] = request_id
    return response


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ClientDisconnect):  # FastAPI says 400 while it reads the body of a route
        return await _hung_up(request, error)
    if error.status_code in (204, 205, 304):  # these never have a body: h11 and httptools refuse to send one
        return Response(status_code=error.status_code, headers=error.headers)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and request.method not in (
        allowed := allowed_methods(request.scope)
    ):  # Starlette says those of the first route at the path
        headers["Allow"] = ", ".join(sorted(allowed)) or headers.get("Allow", "")
    detail = None if error.detail == _phrase(error.status_code) else error.detail
    return problem(error.status_code, detail=detail, headers=headers)


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
    more = f"{len(found) - ERRORS:,} more errors are not listed" if len(found) > ERRORS else None
    return problem(
        422, type="urn:problem:invalid-request", title="The request is not valid", detail=more, errors=errors
    )


async def _hung_up(request: Request, error: Exception) -> Response:
    """Nobody gets this answer; it is for what counts and logs them."""
    return problem(499, title="The client hung up before its request was complete")


async def _left(socket: WebSocket, error: Exception) -> None:
    """A client that closes its WebSocket is no error of a route that did not expect it just then."""


async def _database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DatabaseError)
    if isinstance(error, SchemaMismatch) and (why := _MISMATCH.get(await _migrations(request))):
        error.args = (why,)
    return database_problem(request, error)


async def _migrations(request: Request) -> str | None:
    """What readiness says of them, which asks the database again unless it did a second ago."""
    readiness = getattr(request.app.state, "readiness", None)
    if readiness is None:
        return None
    await readiness.reason()
    state: str | None = readiness.members().get("migrations")
    return state


def database_problem(request: HTTPConnection, error: DatabaseError) -> Response:
    """The response to one of the data layer's errors. Its cause is logged, except that of a conflict, which is none.

    Also where the client is told that its value is wrong: it may be the service that sent another one.
    """
    refused = isinstance(error, PoolTimeout) and error.__cause__ is None  # counted instead: overload makes thousands
    if error.status != HTTPStatus.CONFLICT and not refused:
        level = logging.ERROR if error.status >= 500 else logging.WARNING
        traceback = error if error.status == 500 else None
        where = request.scope.get("method", "WEBSOCKET"), request.url.path
        # Short: some servers say the value that they refuse, whatever its size.
        logger.log(level, "%s: %s %s: %.300r", error, *where, error.__cause__, exc_info=traceback)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", error.__class__.__name__).lower()
    return problem(
        error.status,
        type=f"urn:problem:{name}",
        title=error.title,
        detail=_detail(error),
        constraint=error.constraint,
        row=error.row,
    )


def _phrase(status: int) -> str:
    """The standard's words for a status; there are statuses that it does not know."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _detail(error: DatabaseError) -> str | None:
    return None if str(error) == error.title else str(error)


async def unhandled(request: Request, error: Exception) -> Response:
    return problem(500)  # Starlette raises it again afterwards, so the server logs the traceback


def add_problem_handlers(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(WebSocketRequestValidationError, _validation_error)
    app.add_exception_handler(ClientDisconnect, _hung_up)
    app.add_exception_handler(WebSocketDisconnect, _left)
    app.add_exception_handler(DatabaseError, _database_error)
    app.add_exception_handler(Exception, unhandled)
