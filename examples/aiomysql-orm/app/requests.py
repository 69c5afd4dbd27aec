"""What each request came to, noted once: counted for Prometheus by its route, and written as one line of the log.

By the template of the route, never by what a caller sent: so nobody outside makes new series, and no key and no secret
of a path or a query is written down. The line stands in place of the server's own, and is as silent when the server was
told to write none. Names and labels are OpenTelemetry's: https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
"""

import asyncio
import logging
from contextlib import suppress
from time import perf_counter

from prometheus_client import Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.cut_off import SCOPE_KEY, Answer
from app.database.metrics import Tally, tally
from app.overload import REFUSED, is_always_served
from app.problems import problem
from app.request_route import route_of

logger = logging.getLogger(__name__)

METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
OTHER = "_OTHER"
EVERY = 1.0  # seconds between two lines about requests that are refused because of overload
CLIENT_GONE = 499  # nginx's: ended before there was an answer, which is no failure of the service

duration = Histogram(
    "http_server_request_duration_seconds",
    "Duration of requests; the route is empty where none was found, or the request was refused before",
    ["http_request_method", "http_route", "http_response_status_code"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
)


class RequestsMiddleware:
    """Plain ASGI, outside of all that may answer. `active` is the number of requests in flight in this process.

    A request is noted when its answer is complete, not when what was to be done after it is; or else when it ends, and
    then the line says that it was cut off.
    """

    active = 0

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        # Looking one up in the metric costs as much as all else.
        self._known: dict[tuple[str, str, int], Histogram] = {}
        self._refused = 0
        self._until_next: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            if scope["type"] == "lifespan" and self._until_next:
                self._until_next.cancel()
                self._tell_refused()
            return
        status, noted, began, routes = (0, False, perf_counter(), scope["app"].routes)
        scope[SCOPE_KEY] = answer = Answer()
        cost = Tally() if logger.isEnabledFor(logging.WARNING) else None
        tally.set(cost)
        probe = cost is not None and is_always_served(scope)

        def note(*, cut_off: bool) -> None:
            nonlocal noted
            if not noted:
                noted, seconds, route = (True, perf_counter() - began, route_of(scope, routes))
                self._count(scope["method"], route, status, seconds)
                if cost is not None and (REFUSED not in scope or self._has_line()):
                    _write(scope["method"], route, status, seconds, cost, probe, cut_off)

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            ends = message["type"] in ("http.response.body", "http.response.pathsend") and not message.get("more_body")
            if not (ends and answer.failed):
                await send(message)
                if ends:
                    note(cut_off=False)

        RequestsMiddleware.active += 1
        try:
            await self.app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            # By the server, which has waited for it long enough: docs/running.md. Or what it waited for was cancelled.
            stopping = (task := asyncio.current_task()) is not None and task.cancelling()
            said = problem(503, detail="The service is stopping") if stopping else problem(500)
            if not status:
                with suppress(OSError, RuntimeError):
                    await said(scope, receive, send_and_note)
            raise
        except ClientDisconnect:
            raise
        except BaseException:
            if not status:
                status = 500  # answered outside of all middleware
                note(cut_off=False)
            raise
        finally:
            RequestsMiddleware.active -= 1
            status = status or CLIENT_GONE
            note(cut_off=True)

    def _has_line(self) -> bool:
        """Whether a refused request has a line of its own: the first one does, and those of the next second share one,
        since a line for each would take the time that overload leaves for answers.
        """
        if self._until_next is None:
            self._until_next = asyncio.get_running_loop().call_later(EVERY, self._tell_refused)
            return True
        self._refused += 1
        return False

    def _tell_refused(self) -> None:
        self._until_next = None
        if self._refused:
            fields = {"status": 503, "refused": self._refused}
            logger.warning("%d more requests were refused because of overload", self._refused, extra=fields)
            self._refused = 0
            self._until_next = asyncio.get_running_loop().call_later(EVERY, self._tell_refused)

    def _count(self, method: str, route: str, status: int, seconds: float) -> None:
        labels = method if method in METHODS else OTHER, route, status
        if (known := self._known.get(labels)) is None:
            self._known[labels] = known = duration.labels(*labels)
        known.observe(seconds)


def _write(method: str, route: str, status: int, seconds: float, cost: Tally, probe: bool, cut_off: bool) -> None:
    level = logging.DEBUG if probe and status < 400 else logging.INFO if status < 500 else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    fields = {
        "method": method,
        "route": route or None,
        "status": status,
        "duration_ms": round(seconds * 1000, 2),
        "database_ms": round(cost.seconds * 1000, 2),
        "statements": cost.statements,
    }
    if cut_off:
        fields["cut_off"] = True
    words = "%s %s %s in %.1f ms, %d statements in %.1f ms%s"
    end = ", cut off" if cut_off else ""
    what = (method, route or "-", status, seconds * 1000, cost.statements, cost.seconds * 1000, end)
    logger.log(level, words, *what, extra=fields)
