"""The ASGI application: `app.main:app`."""

import gc

from fastapi import FastAPI
from fastapi.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware

from app import extensions, health, metrics, traces
from app.api_docs import add_api_docs
from app.cut_off import CutOffMiddleware
from app.error_handlers import add_problem_handlers, unhandled
from app.lifespan import SentenceAtFailedStart, lifespan
from app.limits import LimitsMiddleware
from app.openapi import describe
from app.overload import OverloadMiddleware
from app.own_writes import OwnWritesMiddleware
from app.request_id import RequestIdMiddleware
from app.requests import RequestsMiddleware
from app.routing import include, put_first_what_is_hidden
from app.settings import SERVICE_NAME, Settings
from app.websockets import WebSocketErrorsMiddleware


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; without `settings` it reads the environment when it starts, not when it is imported."""
    options = dict(getattr(extensions, "fastapi_options", {}))
    title = options.pop("title", SERVICE_NAME)
    handlers = dict(getattr(extensions, "exception_handlers", {}))
    handler_of_bugs = handlers.pop(500, handlers.pop(Exception, unhandled))
    app = FastAPI(
        title=SERVICE_NAME,
        lifespan=lifespan,
        middleware=[
            Middleware(SentenceAtFailedStart),
            Middleware(RequestIdMiddleware),
            Middleware(RequestsMiddleware),
            Middleware(OwnWritesMiddleware),
            *getattr(extensions, "middleware", []),
            # As FastAPI's own around all of these, but a 500 from there lacks what the team's add to an answer.
            Middleware(ServerErrorMiddleware, handler=handler_of_bugs),
            Middleware(WebSocketErrorsMiddleware),
            Middleware(CutOffMiddleware),
            Middleware(LimitsMiddleware),
            Middleware(OverloadMiddleware),
        ],
        telemetry=traces.OF_REQUESTS,
        **{**options, "openapi_url": None},  # app/api_docs.py serves it
    )
    app.title = title
    app.state.settings = settings
    app.state.handler_of_bugs = handler_of_bugs  # of mounted applications too
    add_problem_handlers(app)
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)
    for router in getattr(extensions, "routers", []):
        include(app, router)
    of_team = list(app.router.routes)
    for router in (health.router, metrics.router):
        include(app, router)
    describe(app)
    add_api_docs(app)
    put_first_what_is_hidden(app.router.routes, behind=of_team)
    return app


app = create_app()

# What is there by now stays. A full collection would walk over it, for 80 to 100 ms in which no request is served.
gc.collect()
gc.freeze()
