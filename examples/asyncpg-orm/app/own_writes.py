"""Read your own writes, over several requests: who has written reads at the primary until the replica must have it.

A cookie carries that, for as long as the replica may lag before reads leave it anyway, and the time until that is
noticed: so the client finds what it wrote at any moment, and no clocks are compared and no server is asked for it.
"""

from math import ceil

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.database import Database
from app.database.route import Writer, writer
from app.replica import KNOWN_WITHIN
from app.settings import Settings

COOKIE = "recent-write"


class OwnWritesMiddleware:
    """Plain ASGI, around all that may write for a client, also a team's middleware, and what answers after a bug."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        database: Database | None = getattr(scope["app"].state, "database", None)  # None: not started
        if database is None or not database.reads_own_writes or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        client = Writer(lately=any(name == b"cookie" and COOKIE.encode() in value for name, value in scope["headers"]))
        token = writer.set(client)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and client.now:
                MutableHeaders(scope=message).append("Set-Cookie", _cookie(scope))
            await send(message)

        try:
            await self.app(scope, receive, send_with_cookie)
        finally:
            writer.reset(token)


def _cookie(scope: Scope) -> str:
    settings: Settings = scope["app"].state.settings
    seconds = ceil((settings.database.replica_max_lag or 0) + KNOWN_WITHIN)
    secure = "; Secure" if scope["scheme"] == "https" else ""
    return f"{COOKIE}=1; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}"
