"""Overload: while the queue in front of the pool is full, a request is refused before anything else is done for it.

A refusal that goes through routing, validation and dependencies costs about as much as an answer, and then there is no
time left for answers.
"""

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from app.database import Database, PoolTimeout
from app.database.dependencies import SCOPE_KEY
from app.problems import database_problem

REFUSED = "app.refused"  # in the scope of a request that met a full queue
_METRICS, _HEALTH = "/metrics", "/health/"


class OverloadMiddleware:
    """Plain ASGI, innermost: what a team's middleware adds to an answer, such as CORS headers, a refusal has too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        database: Database | None = getattr(scope["app"].state, "database", None)  # None: not started
        scope[SCOPE_KEY] = database  # for applications that are mounted in this one, too
        if database and scope["type"] != "lifespan" and not is_always_served(scope):
            try:
                database.refuse_if_full()
            except PoolTimeout as error:
                scope[REFUSED] = True
                await database_problem(HTTPConnection(scope), error)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def is_always_served(scope: Scope) -> bool:
    """Whether it asks for health or metrics, wherever a proxy has put the service. Before routing, which moves
    `root_path` into applications that are mounted in this one.
    """
    path, root = scope["path"], scope.get("root_path", "")
    if root and path.startswith(f"{root}/"):
        path = path.removeprefix(root)
    return is_for_operators(path)


def is_for_operators(path: str) -> bool:
    """Whether health or metrics are at this path of the service."""
    return path == _METRICS or path.startswith(_HEALTH)
