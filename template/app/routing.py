"""Routers, included so that each request looks their routes up once.

FastAPI keeps an included router as one of its own and matches a request twice at each level, which takes a sixth of the
time of a read by key. A router of plain routes needs no such level, where the application adds nothing to them.
"""

from copy import copy

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts, request_response
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from app.limits import allowing

_PLAIN, _OF_APPLICATION = APIRouter(), FastAPI().router
_ADDED = (  # what `include_router` hands down to each route
    *(
        "callbacks",
        "default_response_class",
        "dependencies",
        "deprecated",
        "form_limits",
        "generate_unique_id_function",
    ),
    *("include_in_schema", "max_body_size", "responses", "strict_content_type"),
)


def include(app: FastAPI, router: APIRouter) -> None:
    """As `app.include_router(router)`; the router may be included in several applications."""
    if not (_adds_nothing(app.router) and _has_plain_routes_alone(router)):
        app.include_router(router)
        return
    for route in router.routes:
        assert isinstance(route, APIRoute)
        route = copy(route)
        route.dependency_overrides_provider = app
        route.app = allowing(request_response(route.get_route_handler()), getattr(route, "max_body_size", None))
        app.router.routes.append(route)
    app.openapi_schema = None  # if it was made before, it lacks them


def put_first_what_is_hidden(routes: list[BaseRoute], *, behind: list[BaseRoute]) -> None:
    """The service's own routes stand behind the team's, which most requests are for, and each look costs 1 % of a read.

    Unless one of the team's fits their paths too, as one for all paths does.
    """
    own = routes[len(behind) :]
    for path in (getattr(route, "path", "") for route in own):
        scope: Scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
        if any(route.matches(dict(scope))[0] is not Match.NONE for route in iter_route_contexts(behind)):
            routes[:] = [*own, *behind]
            return


def _adds_nothing(router: APIRouter) -> bool:
    return all(getattr(router, name, None) == getattr(_OF_APPLICATION, name, None) for name in _ADDED)


def _has_plain_routes_alone(router: APIRouter) -> bool:
    plain = all(type(route) is APIRoute for route in router.routes)
    begins_something = router.on_startup or router.on_shutdown
    return plain and not begins_something and type(router.lifespan_context) is type(_PLAIN.lifespan_context)
