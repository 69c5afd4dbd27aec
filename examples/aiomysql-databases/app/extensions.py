"""Where this service hooks into the files that the template owns; this file is the team's, and no update touches it.

Each name is optional: `routers`, `middleware` (starlette.middleware.Middleware), `exception_handlers` (by class),
`readiness_checks` (asynchronous functions that raise when something is missing), `Settings` (a subclass of
app.settings.Settings, read at start).
"""

from fastapi import APIRouter

from app.developers.routes import router as developers
from app.notes.routes import router as notes

routers: list[APIRouter] = [developers, notes]
