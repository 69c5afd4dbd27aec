"""What the service owns between start and stop: the database, opened once the server answers, closed at the end.

A start that cannot succeed ends with one sentence instead of a traceback.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import extensions
from app.database import Database
from app.draining import Stopped, draining, stoppable
from app.error_handlers import add_to_mounted
from app.health import Readiness
from app.logs import configure_logging, set_levels
from app.metrics import watched
from app.replica import SharedProbe, watched_replica
from app.requests import RequestsMiddleware
from app.settings import SERVICE_NAME, InvalidSettings, Settings, load_settings
from app.startup import CannotConnect, wait_for_server
from app.traces import sending_traces
from app.websockets import WebSocketErrorsMiddleware
from app.wording import traceback_of

CANCELLED_END_WITHIN = 1.0  # seconds


class CannotStart(Exception):
    """Why, in one sentence."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
    configure_logging()
    settings: Settings = app.state.settings or _settings()
    app.state.settings = settings  # for the team's own code, which may have added some
    with suppress(ValueError):  # a team's own setting of that name, which means something else
        set_levels(str(settings.log_level))
    try:
        async with stoppable():
            await wait_for_server(settings.database, workers=settings.web_concurrency)
    except CannotConnect as error:
        raise CannotStart(str(error)) from error
    except Stopped as error:
        raise CannotStart("Asked to stop before the database had answered") from error
    add_to_mounted(app)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(sending_traces(SERVICE_NAME))
        app.state.database = database = Database(settings.database)
        stack.push_async_callback(database.close)
        await stack.enter_async_context(watched(database))
        probe = SharedProbe(settings.database)
        stack.push_async_callback(probe.close)
        replica = await stack.enter_async_context(watched_replica(settings.database, probe, database))
        app.state.readiness = Readiness(
            [probe.check, *getattr(extensions, "readiness_checks", [])],
            beside={"replica": replica.check} if replica else {},  # without it writes go on: it does not decide
            members=lambda: {"migrations": probe.migrations},
        )
        stack.enter_context(draining(app.state.readiness, settings.shutdown_delay))
        state = await stack.enter_async_context(getattr(extensions, "lifespan", _nothing)(app))
        stack.push_async_callback(_end_of_requests)
        yield state


def _nothing(app: FastAPI) -> AbstractAsyncContextManager[None]:
    return nullcontext()


async def _end_of_requests() -> None:
    """So that they are answered and noted, and clean up with all that they use still open."""
    with suppress(TimeoutError):  # the server cancels those that last too long, and ends the process without waiting
        async with asyncio.timeout(CANCELLED_END_WITHIN):
            while RequestsMiddleware.active or WebSocketErrorsMiddleware.open:  # noqa: ASYNC110  # an event would cost each request
                await asyncio.sleep(0.01)


def _settings() -> Settings:
    try:
        return load_settings()
    except InvalidSettings as error:
        raise CannotStart(str(error)) from error


class SentenceAtFailedStart:
    """ASGI sends the reason of a failed start as text; Starlette puts a whole traceback there, with values in it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_sentence(message: Message) -> None:
            error = sys.exception()  # it says why while it handles it
            if error is not None and message["type"] in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
                message["message"] = str(error) if isinstance(error, CannotStart) else traceback_of(error)
            await send(message)

        await self.app(scope, receive, send_sentence)
