"""Migrations of a test's own, in a folder of their own, on an empty database."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.settings import DatabaseSettings
from dev import databases
from tests.conftest import test_database_url

ROOT = Path(__file__).parents[2]

_FILE = '''"""{revision}"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down_revision!r}


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
'''


@contextmanager
def empty_database(name: str) -> Iterator[DatabaseSettings]:
    url = test_database_url(os.environ["DATABASE_URL"], name)
    asyncio.run(databases.drop(url))
    asyncio.run(databases.create(url))
    yield DatabaseSettings(_env_file=None, url=url)
    asyncio.run(databases.drop(url))


class Scripts:
    """The service's migrations/ with no migration, in `folder`, for a database."""

    def __init__(self, folder: Path, database: DatabaseSettings) -> None:
        self.folder = shutil.copytree(ROOT / "migrations", folder / "migrations", ignore=lambda *_: ["versions"])
        (self.folder / "versions").mkdir()
        self.database = database

    @property
    def config(self) -> Config:
        config = Config(ROOT / "alembic.ini", stdout=StringIO())
        config.set_main_option("script_location", str(self.folder))
        config.set_section_option("post_write_hooks", "hooks", "")  # ruff takes longer than all the rest
        config.set_main_option("lock_wait", "1")
        config.set_main_option("lock_attempts", "2")
        config.attributes["settings"] = self.database
        return config

    def write(self, revision: str, upgrade: str, downgrade: str = "pass", after: str | None = None) -> Path:
        """A migration by hand, whose functions are one line each."""
        path = self.folder / "versions" / f"{revision}.py"
        path.write_text(_FILE.format(revision=revision, down_revision=after, upgrade=upgrade, downgrade=downgrade))
        return path

    def generate(self, message: str) -> list[str]:
        """What `make migration` writes: the texts of the new files, in their order."""
        before = set(self.revisions())
        command.revision(self.config, message, autogenerate=True)
        scripts = ScriptDirectory.from_config(self.config)
        return [Path(scripts.get_revision(name).path).read_text() for name in self.revisions() if name not in before]

    def revisions(self) -> list[str]:
        """All of them, the oldest first."""
        return [script.revision for script in ScriptDirectory.from_config(self.config).walk_revisions()][::-1]

    def upgrade(self, to: str = "head") -> None:
        command.upgrade(self.config, to)

    def downgrade(self, to: str = "base") -> None:
        command.downgrade(self.config, to)

    def current(self) -> str:
        """At which migration the database is."""
        config = self.config
        command.current(config)
        assert isinstance(config.stdout, StringIO)
        return config.stdout.getvalue().partition(" ")[0].strip()

    def stamp(self, revision: str) -> None:
        command.stamp(self.config, revision)

    def check(self) -> None:
        """Raises when tables and code differ."""
        command.check(self.config)
