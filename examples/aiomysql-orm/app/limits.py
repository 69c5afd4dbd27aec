"""How large a request may be. What is larger is refused by a problem document, before more of it is read.

A body has MAX_BODY_SIZE bytes at most, or what its route says by FastAPI's own `max_body_size`, or its RowsBody. Of
header fields there are MAX_HEADER_FIELDS at most: each look into them goes through all.
"""

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.problems import problem

MAX_BODY_SIZE_SCOPE_KEY = "starlette.max_body_size"  # of Starlette's own limit, which FastAPI's routes set

_PLAIN_TEXT = (b"content-type", b"text/plain; charset=utf-8")


class LimitsMiddleware:
    """Plain ASGI, inside of a team's middleware, so that a refusal has what that adds to an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings = scope["app"].state.settings
        if scope["type"] != "http" or settings is None:
            await self.app(scope, receive, send)
            return
        if len(scope["headers"]) > settings.max_header_fields:
            detail = f"Send at most {settings.max_header_fields} header fields"
            await problem(431, detail=detail)(scope, receive, send)
            return
        announced = _announced(scope)
        if announced == 0:
            await self.app(scope, receive, send)
            return
        received, answered, replaced = 0, False, False

        def limit() -> int:
            size: int = scope.get(MAX_BODY_SIZE_SCOPE_KEY, settings.max_body_size)
            return size

        async def receive_limited() -> Message:
            nonlocal received
            if not received and announced > limit():  # before it is asked for: Expect: 100-continue
                await refuse()
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit():
                await refuse()
            return message

        async def refuse() -> None:
            await asyncio.sleep(0)  # a StreamingResponse listens for the end of its client just before it begins
            if not answered:
                raise HTTPException(413, _refusal(limit()))

        async def send_problem(message: Message) -> None:
            nonlocal answered, replaced
            if message["type"] == "http.response.start":
                answered = True
                # Starlette refuses in plain text what was announced, behind a router that FastAPI includes itself.
                replaced = message["status"] == 413 and _PLAIN_TEXT in message["headers"] and announced > limit()
                if replaced:
                    await problem(413, detail=_refusal(limit()))(scope, receive, send)
            if not replaced:
                await send(message)

        await self.app(scope, receive_limited, send_problem)


def allow(scope: Scope, size: int) -> None:
    """Let the body of this request have `size` bytes, whatever the service's own limit is."""
    scope[MAX_BODY_SIZE_SCOPE_KEY] = size


def allowing(app: ASGIApp, size: int | None) -> ASGIApp:
    """The application of a route, with the route's own limit if it has one."""
    if size is None:
        return app

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        allow(scope, size)
        await app(scope, receive, send)

    return limited


def _announced(scope: Scope) -> int:
    """The size of the body; 0 where there is none, 1 where nobody says: RFC 9112, 6.3; later versions need not say."""
    size = 0 if scope.get("http_version") in ("1.0", "1.1") else 1
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
        if name == b"transfer-encoding":
            size = 1
    return size


def _refusal(size: int) -> str:
    return f"Send at most {size:,} bytes"
