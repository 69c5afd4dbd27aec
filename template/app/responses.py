"""What a route may answer, for its `responses`: in OpenAPI, problem documents have their own media type and the members
that they really have. app/openapi.py adds what can be known without the route.
"""

from typing import Any

from app.problems import MEDIA_TYPE, phrase
from app.request_id import HEADER

Responses = dict[int | str, dict[str, Any]]

SCHEMAS = "#/components/schemas/"

CREATED: Responses = {
    201: {
        "headers": {
            "Location": {
                "description": "Where it is, relative to the path of the request",
                "required": True,
                "schema": {"type": "string", "format": "uri-reference"},
            }
        }
    }
}
"""For a route that answers 201 and says where the new thing is."""

_DESCRIPTIONS = {
    400: "The body cannot be read",
    404: "It is not there",
    409: "It conflicts with what is there",
    413: "The body, or a value in it, is too large",
    415: "The body is not JSON",
    422: "The request is not valid",
    500: "An error of the service's own, whose log says more under the request's id",
    503: "The database is not available, or too many wait for it: try again later",
    504: "The database took too long, or did not say whether it has stored what it was sent",
}


def problems(*statuses: int, **members: Any) -> Responses:
    """The route may answer each of these with a problem document.

    `members` are the JSON schemas of what `app.problems.problem` is given besides.
    """
    return {status: _problem(status, members) for status in statuses}


def _problem(status: int, members: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": SCHEMAS + _SCHEMA_OF.get(status, "Problem")}
    if members:
        schema = _extended(schema, required=[*members], **members)
    description = _DESCRIPTIONS.get(status) or phrase(status)
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def _extended(schema: dict[str, Any], required: list[str], **members: Any) -> dict[str, Any]:
    more = {"type": "object", "properties": members} | ({"required": required} if required else {})
    return {"allOf": [schema, more]}


_SCHEMA_OF = {409: "ConflictProblem", 422: "InvalidRequestProblem"}
_OF_A_ROW = {
    "constraint": {"type": "string", "description": "The constraint of the database that says so"},
    "row": {"type": "integer", "minimum": 0, "description": "Of several that were sent, the first at fault, from 0"},
}
_ERROR = {
    "type": "object",
    "required": ["field", "detail"],
    "properties": {
        "field": {"type": "string", "description": "Where in the request", "examples": ["body.name"]},
        "detail": {"type": "string", "description": "What is wrong with it"},
    },
}
_ERRORS = {"type": "array", "items": _ERROR, "description": "Each mistake; not where the database refuses a value"}

PROBLEM_SCHEMAS: dict[str, dict[str, Any]] = {
    "Problem": {
        "type": "object",
        "description": "What went wrong, by RFC 9457",
        "required": ["type", "title", "status", "request_id"],
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "Of which kind", "examples": ["about:blank"]},
            "title": {"type": "string", "description": "What that kind is"},
            "status": {"type": "integer", "description": "The status of the response"},
            "detail": {"type": "string", "description": "What happened this time"},
            "request_id": {"type": "string", "description": f"As in {HEADER}; the service's log has it too"},
            "trace_id": {"type": "string", "description": "The trace of the request, where traces are made"},
        },
    },
    "ConflictProblem": _extended({"$ref": f"{SCHEMAS}Problem"}, [], **_OF_A_ROW),
    "InvalidRequestProblem": _extended({"$ref": f"{SCHEMAS}Problem"}, [], errors=_ERRORS, **_OF_A_ROW),
}
"""Components of the document, which the problems refer to."""
