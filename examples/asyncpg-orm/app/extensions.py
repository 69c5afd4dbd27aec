"""Where this service hooks into the files that the template owns; this file is the team's, and no update touches it.

Each name is optional: `routers`, `middleware` (starlette.middleware.Middleware), `exception_handlers` (by class;
app.problems.problem makes the answer), `readiness_checks` (asynchronous functions that raise when something is
missing), `Settings` (a subclass of app.settings.Settings, read at start), `database_password` (what gives the password
or token of a new connection), `lifespan` (what the service owns besides the database), `configure_logging` (called
once, first), `fastapi_options` (arguments of FastAPI), `pytest_plugins` (modules with fixtures of the team's own:
"tests.fixtures"). docs/extending.md has an example of each.
"""

from fastapi import APIRouter

from app.developers.routes import router as developers
from app.notes.routes import router as notes

fastapi_options = {
    "openapi_tags": [
        {"name": "developers", "description": "Who they are, one by one and by the thousand."},
        {"name": "notes", "description": "What is noted of developers."},
    ]
}

routers: list[APIRouter] = [developers, notes]
