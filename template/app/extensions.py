"""Where this service hooks into the files that the template owns; this file is the team's, and no update touches it.

Each name is optional: `routers`, `middleware` (starlette.middleware.Middleware), `exception_handlers` (by class;
app.problems.problem makes the answer), `readiness_checks` (asynchronous functions that raise when something is
missing), `Settings` (a subclass of app.settings.Settings, read at start), `pytest_plugins` (the names of modules with
fixtures of the team's own: "tests.fixtures"), `openapi_tags` (what /docs says of the tags of the routers).
"""

from fastapi import APIRouter

from app.developers.routes import router as developers
from app.notes.routes import router as notes

routers: list[APIRouter] = [developers, notes]

openapi_tags: list[dict[str, str]] = [
    {"name": "developers", "description": "Who they are, one by one and by the thousand."},
    {"name": "notes", "description": "What is noted of developers."},
]
