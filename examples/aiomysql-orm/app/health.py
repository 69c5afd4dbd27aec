"""Is the process alive, and may it be sent requests?

Liveness never touches the database: restarting a process does not mend one. Readiness asks it over a connection of its
own, so that a full pool cannot hide a healthy database, with a short limit; many probes share one question.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from types import MappingProxyType
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from app.problems import problem
from app.responses import problems
from app.revision import State

logger = logging.getLogger(__name__)

Check = Callable[[], Awaitable[object]]

router = APIRouter(prefix="/health", tags=["health"])


class Readiness:
    """Runs the checks at most once in `max_age` seconds. They have `timeout` seconds together and fail by raising.

    Those `beside` are told by their names in the answer, and do not decide: what the service can do without. `members`
    are what it says besides; those that are None are left out.
    """

    def __init__(
        self,
        checks: Sequence[Check],
        *,
        beside: Mapping[str, Check] = MappingProxyType({}),
        members: Callable[[], Mapping[str, str | None]] = dict,
        timeout: float = 2.0,
        max_age: float = 1.0,
    ) -> None:
        self._checks = checks
        self._beside = beside
        self._members = members
        self._found: dict[str, str] = {}
        self._timeout = timeout
        self._max_age = max_age
        self._lock = asyncio.Lock()
        self._asked = -max_age
        self._reason: str | None = None
        self.stopping = False  # app/draining.py

    async def reason(self) -> str | None:
        """The kind of what is wrong, None when all is well."""
        if self.stopping:
            return "Stopping"
        async with self._lock:
            if monotonic() - self._asked >= self._max_age:
                self._reason, *others = await asyncio.gather(
                    self._fault("Not ready", *self._checks),
                    *(self._fault(f"Ready without the {name}", check) for name, check in self._beside.items()),
                )
                self._found = {name: kind or "ok" for name, kind in zip(self._beside, others, strict=True)}
                self._asked = monotonic()
            return self._reason

    def members(self) -> dict[str, Any]:
        """What is known besides, since `reason` was asked last."""
        said = self._members()
        return self._found | {name: value for name, value in said.items() if value is not None}

    async def _fault(self, meaning: str, *checks: Check) -> str | None:
        try:
            async with asyncio.timeout(self._timeout):
                for check in checks:
                    await check()
        except (Exception, asyncio.CancelledError) as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise  # else what the check waited for was cancelled by somebody
            logger.warning("%s: %r, caused by %r", meaning, error, error.__cause__)
            return type(error).__name__
        return None


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    status: Literal["ready"]
    migrations: State | None = Field(None, description="Those of the database, beside those of the code")
    replica: str | None = Field(None, description="ok, or the kind of what is wrong with it")


@router.head("/live", include_in_schema=False)
@router.get("/live")
async def live() -> Alive:
    return Alive()


@router.head("/ready", include_in_schema=False)
@router.get(
    "/ready",
    response_model=Ready,
    responses=problems(503, reason={"type": "string", "description": "The kind of what is wrong"}),
)
async def ready(request: Request) -> Response:
    readiness: Readiness = request.app.state.readiness
    reason = await readiness.reason()
    members = readiness.members()
    if reason:
        title = "The service is not ready"
        return problem(503, type="urn:problem:not-ready", title=title, reason=reason, **members)
    return JSONResponse({"status": "ready", **members})
