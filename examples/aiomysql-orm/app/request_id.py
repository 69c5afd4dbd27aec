"""Each request has an id: the caller's `X-Request-ID` where it is plain, else a new one. It stands in the response, in
every problem document and in every log line of the request; so does the id of its trace, where traces are made, in the
documents and in the lines.
"""

import logging
import re
from contextvars import ContextVar
from secrets import token_hex

from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-ID"
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_current: ContextVar[str | None] = ContextVar("request_id", default=None)
_trace: ContextVar[str | None] = ContextVar("trace_id", default=None)


def current_request_id() -> str | None:
    """The id of the request that this task serves, None outside of one."""
    return _current.get()


def current_trace_id() -> str | None:
    """The id of the trace that this task adds to, or of that of its request; None where no traces are made."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else _trace.get()


class RequestIdMiddleware:
    """Plain ASGI: BaseHTTPMiddleware runs the application in another task and hides that the client hung up."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _PLAIN.fullmatch(given) else token_hex(16)
        _current.set(request_id)  # never reset: the server logs an unhandled exception after us, in this context
        _trace.set(current_trace_id())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id)


class RequestIdFilter(logging.Filter):
    """Puts the ids into each record, for the formatter."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id()
        record.trace_id = current_trace_id()
        return True
