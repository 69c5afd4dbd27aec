"""What declares tables: Alembic and the tests see what is imported here. This file is the team's."""

from app.database import metadata
from app.developers import models as developers
from app.notes import models as notes

__all__ = ["developers", "metadata", "notes"]
