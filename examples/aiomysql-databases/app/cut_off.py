"""An answer that fails in its midst ends without its end, so that no client takes a part for the whole.

A server does that by itself; a BaseHTTPMiddleware of the team's between the two ends the body well, and says later that
it failed. So what is inside of such a middleware tells what is outside of it.
"""

from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SCOPE_KEY = "app.answer"


@dataclass(slots=True)
class Answer:
    """Of a request; app/requests.py, outside of a team's middleware, sends no end of one that has failed."""

    failed: bool = False


class CutOffMiddleware:
    """Plain ASGI, inside of a team's middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Answer | None = scope.get(SCOPE_KEY)
        if answer is None:
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"  # hints may come before it
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception:
            answer.failed = begun
            raise
