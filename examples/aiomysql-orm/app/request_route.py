"""Which route served a request, by the template of its path, such as /orders/{id}: a name that no caller can make."""

from collections.abc import Sequence

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount
from starlette.types import Scope


def route_of(scope: Scope, routes: Sequence[BaseRoute]) -> str:
    """The template of the path by which one of an application's `routes` has served a request; "" for none.

    Of mounted applications too, with the mounts that lead to them.
    """
    route = scope.get("route")  # of FastAPI's own; a plain one or a mount leaves its endpoint alone
    context = scope.get("fastapi", {}).get("effective_route_context")  # of a router in a router, with its prefix
    if context is not None and context.original_route is route:
        route = context.starlette_route or context
    if "app_root_path" in scope:
        mounts = _mounts(routes, scope["root_path"].removeprefix(scope["app_root_path"]))
        own = "/{path}" if route is None or isinstance(route, Mount) else getattr(route, "path_format", "")
        return "" if mounts is None else mounts + own
    if route is None and "endpoint" in scope:
        route = next((known for known in iter_route_contexts(routes) if known.endpoint is scope["endpoint"]), None)
    return str(getattr(route, "path_format", ""))


def _mounts(routes: Sequence[BaseRoute], path: str) -> str | None:
    if not path:
        return ""
    for route in iter_route_contexts(routes):
        if isinstance(route.original_route, Mount) and (found := route.path_regex.match(f"{path}/")):
            inner = _mounts(route.routes, f"/{found['path']}".rstrip("/"))
            if inner is not None:
                return f"{route.path_format}".removesuffix("/{path}") + inner
    return None
