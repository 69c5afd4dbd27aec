"""How many requests there were, with what outcome, and how long they took until the last byte of their answer.

By the template of the route, never by what a caller sent, so that nobody outside can make new series. Names and labels
are OpenTelemetry's: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
"""

from collections.abc import Sequence
from time import perf_counter

from fastapi.routing import iter_route_contexts
from prometheus_client import Histogram
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
OTHER = "_OTHER"
HUNG_UP = 499  # nginx's for a client that is gone before it is answered: no failure of the service

duration = Histogram(
    "http_server_request_duration_seconds",
    "Duration of requests; the route is empty where none was found, or the request was refused before",
    ["http_request_method", "http_route", "http_response_status_code"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)


class RequestMetricsMiddleware:
    """Plain ASGI, outside of all that may answer. `active` is the number of requests in flight in this process."""

    active = 0

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._known: dict[
            tuple[str, str, int], Histogram
        ] = {}  # looking one up in the metric costs as much as all else

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        application, started = scope["app"], perf_counter()
        RequestMetricsMiddleware.active += 1
        try:
            await self.app(scope, receive, send_noting)
        except ClientDisconnect:
            raise
        except BaseException:
            status = status or 500
            raise
        finally:
            RequestMetricsMiddleware.active -= 1
            labels = scope["method"], route_of(scope, application.routes), status or HUNG_UP
            (self._known.get(labels) or self._made(*labels)).observe(perf_counter() - started)

    def _made(self, method: str, route: str, status: int) -> Histogram:
        if method not in METHODS:
            return duration.labels(OTHER, route, status)
        self._known[method, route, status] = made = duration.labels(method, route, status)
        return made


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
