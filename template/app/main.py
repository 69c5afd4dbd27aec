"""The ASGI application: `app.main:app`."""

import gc

from fastapi import FastAPI
from fastapi.middleware import Middleware

from app import extensions, health, metrics
from app.api_docs import add_api_docs
from app.lifespan import SentenceAtFailedStart, lifespan
from app.openapi import describe
from app.overload import OverloadMiddleware
from app.problems import add_problem_handlers
from app.request_id import RequestIdMiddleware
from app.routing import include
from app.settings import SERVICE_NAME, Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; without `settings` it reads the environment when it starts, not when it is imported."""
    app = FastAPI(
        title=SERVICE_NAME,
        lifespan=lifespan,
        openapi_url=None,  # app/api_docs.py serves it
        middleware=[
            Middleware(SentenceAtFailedStart),
            Middleware(RequestIdMiddleware),
            *getattr(extensions, "middleware", []),
            Middleware(OverloadMiddleware),
        ],
    )
    app.state.settings = settings
    add_problem_handlers(app)
    for error, handler in getattr(extensions, "exception_handlers", {}).items():
        app.add_exception_handler(error, handler)
    for router in (health.router, metrics.router, *getattr(extensions, "routers", [])):
        include(app, router)
    describe(app, getattr(extensions, "openapi_tags", []))
    add_api_docs(app)
    return app


app = create_app()

# What is there by now stays. A full collection would walk over it, for 80 to 100 ms in which no request is served.
gc.collect()
gc.freeze()
