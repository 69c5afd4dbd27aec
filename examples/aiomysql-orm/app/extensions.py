"""Where this service hooks into the files that the template owns; this file is the team's, and no update touches it.

Each name is optional: `routers`, `middleware` (starlette.middleware.Middleware), `exception_handlers` (by class;
app.problems.problem makes the answer), `readiness_checks` (asynchronous functions that raise when something is
missing), `Settings` (a subclass of app.settings.Settings, read at start), `pytest_plugins` (the names of modules with
fixtures of the team's own: "tests.fixtures").
"""

from fastapi import APIRouter

from app.developers.routes import router as developers
from app.notes.routes import router as notes

routers: list[APIRouter] = [developers, notes]
