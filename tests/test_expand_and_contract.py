"""docs/migrations.md, done to the example service: a column gets another name, and nobody who asks notices.

Four releases as a team makes them, each the one before it with edits and migrations. Two run side by side at each
roll-out, on one database under real servers of their own; while they are asked, the migrations run. What one of them
writes the other reads and changes. Over HTTP the column's value stays `specialty`; bulk functions are not asked.
"""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import COMBINATIONS, NAME, combination_id, render
from services import Service, database_url, python_called

pytestmark = pytest.mark.slow

ROUNDS = 5
ALTER = 'op.alter_column("developers", "{}", existing_type=sa.String(50), nullable={})'
MIGRATION = '''"""A change of the developers' table."""

import sqlalchemy as sa
from alembic import op

revision = "{revision:04}"
down_revision = "{before:04}"


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    raise NotImplementedError
'''
FILL = {
    "asyncpg": "UPDATE developers SET field = specialty WHERE field IS DISTINCT FROM specialty",
    "aiomysql": "UPDATE developers SET field = specialty WHERE NOT (field <=> specialty)",
}

# By release and file: what becomes of what.
Edits = dict[int, dict[str, dict[str, str]]]
READS_THE_NEW = {
    "select(developers)": "select(*_COLUMNS)",
    "row.specialty": "row.field",
    "_BY_ID = ": '_COLUMNS = [column for column in developers.c if column.name not in ("specialty", "field")]\n'
    '_COLUMNS.append(developers.c.field.label("specialty"))\n_BY_ID = ',
}
ORM: Edits = {
    2: {
        "models.py": {"    created_at": "    field: Mapped[str | None] = mapped_column(String(50))\n    created_at"},
        "queries.py": {
            "**data.model_dump(), ": "**data.model_dump(), field=data.specialty, ",
            "    developer.updated_at": "    developer.field = developer.specialty\n    developer.updated_at",
        },
    },
    3: {
        "models.py": {
            "specialty: Mapped[str] = mapped_column(": 'specialty: Mapped[str] = mapped_column("field", ',
            "field: Mapped[str | None] = mapped_column(": 'before: Mapped[str | None] = mapped_column("specialty", ',
            '_id", "specialty"': '_id", "field"',
        },
        "queries.py": {**READS_THE_NEW, "field=data": "before=data", "developer.field =": "developer.before ="},
    },
    4: {
        "models.py": {'    before: Mapped[str | None] = mapped_column("specialty", String(50))\n': ""},
        "queries.py": {"before=data.specialty, ": "", "    developer.before = developer.specialty\n": ""},
    },
}
WRITES_BOTH = '{**values, "field": values["specialty"]} if "specialty" in values else values'
WRITES_THE_NEW = '{"field" if name == "specialty" else name: value for name, value in values.items()}'
DATABASES: Edits = {
    2: {
        "models.py": {'    Column("created_at"': '    Column("field", String(50)),\n    Column("created_at"'},
        "queries.py": {
            ".values(values)": ".values(_stored(values))",
            "(_NEW, values)": "(_NEW, _stored(values))",
            "async def create(": f"def _stored(values):\n    return {WRITES_BOTH}\n\n\nasync def create(",
        },
    },
    3: {"models.py": {'_id", "specialty"': '_id", "field"'}, "queries.py": READS_THE_NEW},
    4: {
        "models.py": {'    Column("specialty", String(50), nullable=False),\n': ""},
        "queries.py": {WRITES_BOTH: WRITES_THE_NEW},
    },
}


class Releases:
    """The service's releases in folders beside it, and their migrations."""

    def __init__(self, service: Service, edits: Edits) -> None:
        self.services = {1: service}
        self.edits = edits
        self.migrations = 6

    def next(self) -> Service:
        number = len(self.services) + 1
        path = self.services[1].path.with_name(f"release-{number}")
        shutil.copytree(self.services[number - 1].path, path, ignore=lambda *_: [".venv", "__pycache__"])
        for file, changes in self.edits[number].items():
            source = path / "app" / "developers" / file
            text = source.read_text("utf-8")
            for old, new in changes.items():
                assert old in text, f"release {number}, {file}: {old}"
                text = text.replace(old, new)
            source.write_text(text, "utf-8")
        (path / ".venv").symlink_to(self.services[1].path / ".venv")
        self.services[number] = replace(self.services[1], path=path)
        return self.services[number]

    def migrate(self, url: str, *upgrades: str) -> None:
        """With the newest release, before it is rolled out."""
        service = self.services[max(self.services)]
        for upgrade in upgrades:
            before, self.migrations = self.migrations, self.migrations + 1
            file = service.path / "migrations" / "versions" / f"{self.migrations:04}.py"
            file.write_text(MIGRATION.format(revision=self.migrations, before=before, upgrade=upgrade), "utf-8")
        service.migrate(url)


def answer(response: httpx.Response) -> Any:
    assert response.status_code < 300, f"{response.request.method} {response.request.url.path}: {response.text}"
    return response.json()


def use(clients: list[httpx.Client], number: int) -> tuple[str, str]:
    """What one release stores, the other reads, finds and changes; the first reads that. The path, and its value."""
    first, other = clients[0], clients[-1]
    words = [f"word {number}", f"other {number}", f"last {number}"]
    ada = {"name": f"Ada {number}", "email": f"ada{number}@example.com", "specialty": words[0]}
    path = f"/developers/{answer(first.post('/developers', json=ada))['id']}"
    assert answer(other.get(path))["specialty"] == words[0]
    assert len(answer(other.get("/developers", params={"specialty": words[0]}))["items"]) == 1
    for word, written, read in ((words[1], other, first), (words[2], first, other), (words[0], other, first)):
        for change in ({"specialty": word}, {"name": f"Ada {word}"}):
            assert answer(written.patch(path, json=change))["specialty"] == word
            assert answer(read.get(path))["specialty"] == word
    return path, words[0]


@contextmanager
def in_use(stored: dict[str, str], *clients: httpx.Client) -> Iterator[None]:
    """Asked before, while and after the block, each release first in turn; what is then in the database is added."""
    ends = threading.Event()
    failures: list[Exception] = []

    def ask() -> None:
        while not ends.is_set() and not failures:
            number = len(stored)
            try:
                path, value = use(list(clients if number % 2 else clients[::-1]), number)
                stored[path] = value
            except Exception as error:
                failures.append(error)
            time.sleep(0.02)  # leaves the machine to the migration

    def wait() -> None:
        goal = len(stored) + ROUNDS
        while len(stored) < goal and not failures:
            time.sleep(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        wait()
        yield
        wait()
    finally:
        ends.set()
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_a_column_gets_another_name_while_the_service_is_asked(
    combination: dict[str, str], snapshot: Path, tmp_path: Path
) -> None:
    first = Service(render(snapshot, tmp_path / NAME, combination), python_called("newest"))
    first.run("uv", "sync", "--quiet")
    releases = Releases(first, ORM if combination["access"] == "orm" else DATABASES)
    with first.dev_server() as server, ExitStack() as ends:
        url = database_url(server)
        first.migrate(url)

        def roll_out(service: Service) -> httpx.Client:
            return ends.enter_context(service.serving(url))

        stored: dict[str, str] = {}
        one, second = roll_out(first), releases.next()
        with in_use(stored, one):
            releases.migrate(url, 'op.add_column("developers", sa.Column("field", sa.String(50)))')
        two = roll_out(second)
        with in_use(stored, one, two):
            pass
        third = releases.next()
        with in_use(stored, two):  # the first is gone
            fill = f'op.execute("{FILL[combination["driver"]]}")'
            releases.migrate(url, fill, ALTER.format("field", False))
        three = roll_out(third)
        with in_use(stored, two, three):
            pass
        fourth = releases.next()
        with in_use(stored, three):
            releases.migrate(url, ALTER.format("specialty", True))
        four = roll_out(fourth)
        with in_use(stored, three, four):
            pass
        with in_use(stored, four):
            drop_index = 'op.drop_index("ix_developers_specialty_name_id", "developers")'
            releases.migrate(url, drop_index, 'op.drop_column("developers", "specialty")')
        for path, value in stored.items():
            assert answer(four.get(path))["specialty"] == value
