"""What a 405 says in `Allow`: the methods of all routes at the path (RFC 9110, 10.2.1). Starlette gives those of
the first.
"""

from fastapi.routing import iter_route_contexts
from starlette.routing import Match
from starlette.types import Scope


def allowed_methods(scope: Scope) -> set[str]:
    """What the resource at the path takes: of all routes that spell it out, else of those whose parameters fit.

    So says OpenAPI too (https://spec.openapis.org/oas/v3.1.1.html#path-templating-matching).
    """
    routes = [route for route in iter_route_contexts(scope["app"].routes) if route.methods]
    fitting = [route for route in routes if route.matches(scope)[0] is not Match.NONE]
    spelt_out = [route for route in fitting if "{" not in (route.path or "")]
    return {method for route in spelt_out or fitting for method in route.methods or ()}
