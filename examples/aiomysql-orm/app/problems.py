"""Every error is answered with an RFC 9457 problem document that carries the request's id.

What a client may not see stays out of it: no SQL, no driver's text, no value of a row. The log has the cause.
"""

import json
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.requests import HTTPConnection
from pydantic_core import to_jsonable_python
from starlette.responses import Response

from app.database import DatabaseError, PoolTimeout, SchemaMismatch
from app.request_id import HEADER, current_request_id, current_trace_id
from app.request_route import route_of

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "1"  # seconds: what ended in a 503 is over sooner than that, or not for long

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
        "title": title or phrase(status),
        "status": status,
        "detail": detail,
        "request_id": request_id,
        "trace_id": current_trace_id(),
        **members,
    }
    said = {name: value for name, value in document.items() if value is not None}
    content = json.dumps(to_jsonable_python(said, inf_nan_mode="null", fallback=str))  # JSON has no NaN
    response = Response(content, status, headers, media_type=MEDIA_TYPE)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers.setdefault("Retry-After", RETRY_AFTER)
    if request_id:  # an unhandled exception is answered outside of the middleware that adds it
        response.headers[HEADER] = request_id
    return response


async def database_error(request: Request, error: Exception) -> Response:
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
        scope = request.scope  # the route, since a path may have a secret in it
        where = (scope.get("method", "WEBSOCKET"), route_of(scope, scope["app"].routes) or "-")
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


def phrase(status: int) -> str:
    """The standard's words for a status; there are statuses that it does not know."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _detail(error: DatabaseError) -> str | None:
    return None if str(error) == error.title else str(error)
