"""Errors over a WebSocket: until it is accepted they are answered as any request's, afterwards they close it, with a
code, and with the title of the problem as the reason.

So an exception handler answers both with a response, and need not know which of them it is.
"""

import json
import logging
from contextlib import suppress
from contextvars import ContextVar
from http import HTTPStatus
from traceback import walk_tb

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from app.problems import problem

LONGEST_REASON = 123  # bytes: RFC 6455, sections 5.5 and 5.5.1

# https://www.iana.org/assignments/websocket/websocket.xhtml
UNSUPPORTED_DATA, INVALID_DATA = 1003, 1007
POLICY_VIOLATION, INTERNAL_ERROR, TRY_AGAIN_LATER = 1008, 1011, 1013

_refused: ContextVar[bool] = ContextVar("refused", default=False)


class WebSocketErrorsMiddleware:
    """Plain ASGI. An exception without a handler closes too, and is raised again for the server to log, unless it is
    its client's doing: a message of another kind than the route receives, or its leave while several tasks listen.
    """

    open = 0  # of this process, for its stop

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        logging.getLogger("uvicorn.error").addFilter(_worth_a_line)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        accepted = ended = False
        status = 0

        async def send_or_close(message: Message) -> None:
            nonlocal accepted, ended, status
            kind = message["type"]
            if accepted and kind == "websocket.http.response.start":
                status = message["status"]
                return
            if accepted and kind == "websocket.http.response.body":
                if ended:  # the rest of a long answer
                    return
                message = {
                    "type": "websocket.close",
                    "code": _code(status),
                    "reason": _reason(message.get("body", b"")),
                }
            if kind == "websocket.close":
                message = {**message, "reason": _cut(message.get("reason") or "")}
            accepted = accepted or kind == "websocket.accept"
            if kind == "websocket.http.response.start":
                _refused.set(True)  # never reset: the server logs after us, in this context
            ended = ended or message["type"] in ("websocket.close", "websocket.http.response.start")
            await send(message)

        WebSocketErrorsMiddleware.open += 1
        try:
            await self.app(scope, receive, send_or_close)
        except Exception as error:
            if isinstance(error, ExceptionGroup) and error.split(WebSocketDisconnect)[1] is None:
                return  # as one alone, which app/error_handlers.py takes for none
            code = _fault_of_client(error)
            if not ended:
                with suppress(OSError):  # the client may be gone
                    if code:
                        await send_or_close({"type": "websocket.close", "code": code})
                    else:
                        await problem(500)(scope, receive, send_or_close)
            if code is None:
                raise
        finally:
            WebSocketErrorsMiddleware.open -= 1


def _worth_a_line(record: logging.LogRecord) -> bool:
    """Not what uvicorn says of each handshake, with its path and query, where browsers have to put tokens; nor that one
    was answered but not accepted: Kludex/uvicorn#3138.
    """
    if _refused.get() and record.msg == "ASGI callable returned without completing handshake.":
        return False
    return not str(record.msg).startswith('%s - "WebSocket')


def _code(status: int) -> int:
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        return TRY_AGAIN_LATER
    return INTERNAL_ERROR if status >= 500 else POLICY_VIOLATION


def _fault_of_client(error: Exception) -> int | None:
    """The code for a message that the route cannot receive, None where it is a bug of the service."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    receiving = {f.f_code.co_name for f in frames if f.f_globals.get("__name__") == "starlette.websockets"}
    if not receiving & {"receive_text", "receive_bytes", "receive_json"}:
        return None
    # Starlette looks up "text" in a message of bytes, and reads JSON as it comes.
    return UNSUPPORTED_DATA if isinstance(error, KeyError) else INVALID_DATA if isinstance(error, ValueError) else None


def _reason(body: bytes) -> str:
    try:
        title = str(json.loads(body)["title"])
    except (ValueError, LookupError, TypeError):  # not a problem document
        return ""
    return _cut(title)


def _cut(reason: str) -> str:
    return reason.encode()[:LONGEST_REASON].decode(errors="ignore")
