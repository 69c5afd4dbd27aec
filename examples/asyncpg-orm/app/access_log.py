"""One line in the log for each request: what was asked, by the template of its route, what was answered, how long that
took, and how much of it in the database. It stands in place of the server's own, and is as silent when the server was
told to write none.

Neither the path nor the query is in it, which hold keys, and now and then a secret.
"""

import asyncio
import logging
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.database.metrics import Tally, tally
from app.overload import ALWAYS_SERVED

logger = logging.getLogger("app.requests")

CLIENT_GONE = 499  # the number that nginx gave it: cancelled before there was an answer


class AccessLogMiddleware:
    """Plain ASGI, around all but the request's id. The line is written when the answer is complete, not when what was
    to be done after it is; or else when the request ends, and then it says that it was cut off.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not logger.isEnabledFor(logging.WARNING):
            await self.app(scope, receive, send)
            return
        began, of_request, status, written = perf_counter(), Tally(), 0, False
        tally.set(of_request)

        async def send_and_write(message: Message) -> None:
            nonlocal status, written
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body") and not written:
                written = True
                _write(scope, status, perf_counter() - began, of_request)

        try:
            await self.app(scope, receive, send_and_write)
        except BaseException as error:
            gone = isinstance(error, asyncio.CancelledError)
            if not status:
                status, cut_off = CLIENT_GONE if gone else 500, gone  # 500: answered outside of all middleware
            else:
                cut_off = True
            if not written:
                _write(scope, status, perf_counter() - began, of_request, cut_off=cut_off)
            raise
        if not written:
            _write(scope, status or CLIENT_GONE, perf_counter() - began, of_request, cut_off=True)


def route_of(scope: Scope) -> str | None:
    """The template of the route's path, such as /orders/{id}, after the path where its application is mounted, if so;
    None before a route was found, and for those of no router, such as /docs.
    """
    path: str = getattr(scope.get("route"), "path", "")
    mounted: str = scope.get("root_path", "").removeprefix(_root(scope))
    return mounted + path or None


def _root(scope: Scope) -> str:
    """Where a proxy has put the service; `root_path` is where the innermost application is mounted."""
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    return root


def _write(scope: Scope, status: int, seconds: float, of_request: Tally, *, cut_off: bool = False) -> None:
    quiet = status < 400 and scope["path"].removeprefix(_root(scope)).startswith(ALWAYS_SERVED)
    level = logging.DEBUG if quiet else logging.INFO if status < 500 else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    fields = {
        "method": scope["method"],
        "route": route_of(scope),
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
        "database_ms": round(of_request.seconds * 1000, 2),
        "statements": of_request.statements,
    }
    words = "%s %s %s in %.1f ms, %d statements in %.1f ms%s"
    ended = ", cut off" if cut_off else ""
    what = scope["method"], fields["route"] or "-", status, seconds * 1000
    cost = of_request.statements, of_request.seconds * 1000
    logger.log(level, words, *what, *cost, ended, extra=fields | {"cut_off": True} if cut_off else fields)
