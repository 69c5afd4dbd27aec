"""What declares tables: Alembic and the tests see what is imported here. This file is the team's.

`migration_options`, if it is here, is a dict of further arguments of Alembic's `context.configure`: docs/migrations.md.
"""

from app.database import metadata
from app.developers import models as developers
from app.notes import models as notes

__all__ = ["developers", "metadata", "notes"]
