"""python -m app.developers.load: a file is imported as a whole, or its first mistake is named and nothing is imported.

This file is the team's.
"""

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster
from httpx import AsyncClient
from sqlalchemy import func, select

from app.database import Database
from app.models import metadata
from app.settings import Settings
from tests.processes import Process, prepare
from tests.proxy import Proxy
from tests.statements import value

prepare()

ROOT = Path(__file__).parents[1]
developers = metadata.tables["developers"]
Load = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture(autouse=True)
def files_may_be_written(no_blocking_calls: BlockBuster) -> None:
    no_blocking_calls.functions["io.BufferedWriter.write"].deactivate()


@pytest.fixture
def load(settings: Settings, tmp_path: Path) -> Load:
    """Runs the command in an empty folder, on the tests' own database; its exit code and what it said."""

    def run(arguments: tuple[str, ...], variables: dict[str, str]) -> tuple[int, str]:
        environment = surroundings(settings, tmp_path)["env"] | variables
        with Process("app.developers.load", *arguments, folder=tmp_path, environment=environment) as process:
            return process.exit_code(), process.output

    async def load(*arguments: str, **variables: str) -> tuple[int, str]:
        return await asyncio.to_thread(run, arguments, variables)

    return load


def surroundings(settings: Settings, folder: Path) -> dict[str, Any]:
    url = settings.database.url.get_secret_value()
    return {"cwd": folder, "env": {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": url}}


def row(number: int, **changes: str) -> dict[str, str]:
    return {"name": f"Name {number}", "email": f"D{number}@example.com", "specialty": "é,\"'", **changes}


def ndjson(*rows: dict[str, str]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_csv(*rows: dict[str, str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


async def count(database: Database) -> int:
    async with database.read() as session:
        number: int = await value(session, select(func.count()).select_from(developers))
        return number


@pytest.mark.parametrize("suffix", ["ndjson", "csv"])
async def test_a_file_is_imported_whatever_its_format(
    load: Load, tmp_path: Path, client: AsyncClient, suffix: str
) -> None:
    rows = [row(number) for number in range(300)]
    content = ndjson(*rows) if suffix == "ndjson" else b"\xef\xbb\xbf" + as_csv(*rows)
    (tmp_path / f"people.{suffix}").write_bytes(content)
    assert await load(f"people.{suffix}") == (0, "300 inserted, 0 updated, 0 skipped\n")
    page = (await client.get("/developers", params={"limit": 1})).json()
    assert page["items"][0] | row(0, email="d0@example.com") == page["items"][0]
    assert await load(f"people.{suffix}", "--on-conflict=skip") == (0, "0 inserted, 0 updated, 300 skipped\n")


async def test_standard_input_is_imported_and_may_change_what_is_there(
    settings: Settings, tmp_path: Path, load: Load, database: Database
) -> None:
    (tmp_path / "first.csv").write_bytes(as_csv(row(1), row(2)))
    await load("first.csv")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.developers.load", "-", "--format=csv", "--on-conflict=update"),
        **surroundings(settings, tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    said, _ = await process.communicate(as_csv(row(1), row(2, name="New"), row(3)))
    assert said == b"1 inserted, 1 updated, 1 skipped\n"
    assert await count(database) == 3


MISTAKES = {
    "invalid.ndjson": (ndjson(row(1), row(2, email="no address")), "line 2: email: value is not a valid email"),
    "taken.ndjson": (ndjson(row(1)) + b"\n\n" + ndjson(row(2), row(1, name="x")), "line 5: A row with these values"),
    "taken.csv": (as_csv(row(1, name="two\nlines"), row(2), row(1)), "line 5: A row with these values"),
    "last.ndjson": (ndjson(*(row(number) for number in range(12_000)), {}), "line 12001: name: Field required"),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_the_first_mistake_is_named_with_its_line_and_nothing_is_imported(
    load: Load, tmp_path: Path, database: Database, name: str
) -> None:
    content, message = MISTAKES[name]
    (tmp_path / name).write_bytes(content)
    code, said = await load(name)
    assert code == 1
    (said,) = (line for line in said.splitlines() if not line.startswith("A statement took"))  # of a busy machine
    assert said.startswith(message)
    assert said.endswith("Nothing was imported.")
    assert await count(database) == 0


@pytest.mark.parametrize(
    ("name", "variables", "message"),
    [
        ("nowhere.csv", {}, "nowhere.csv"),
        ("-", {}, "- does not say what it is: add --format ndjson or --format csv"),
        ("people.csv", {"DATABASE_URL": "nonsense"}, "DATABASE_URL cannot be used"),
    ],
)
async def test_what_keeps_it_from_beginning_is_one_sentence(
    load: Load, tmp_path: Path, name: str, variables: dict[str, str], message: str
) -> None:
    (tmp_path / "people.csv").write_bytes(as_csv(row(1)))
    code, said = await load(name, **variables)
    assert code == 1
    assert message in said
    assert said.count("\n") == 1


async def test_a_terminal_shows_how_far_it_is(settings: Settings, tmp_path: Path, database: Database) -> None:
    (tmp_path / "people.ndjson").write_bytes(ndjson(*(row(number) for number in range(3000))))
    ours, theirs = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.developers.load", "people.ndjson"),
            **surroundings(settings, tmp_path),
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        said, _ = await process.communicate()
        shown = await asyncio.to_thread(os.read, ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    assert said == b"3,000 inserted, 0 updated, 0 skipped\n"
    assert b"%  " in shown
    assert b"\r3,000 rows read" in shown


async def test_an_import_whose_commit_got_no_answer_may_be_there(
    settings: Settings, tmp_path: Path, load: Load, database: Database
) -> None:
    (tmp_path / "some.ndjson").write_bytes(ndjson(row(1)))
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        proxy.loses_answer_to = b"COMMIT"
        code, said = await load("some.ndjson", DATABASE_URL=url.get_secret_value())
    assert (code, said.strip()) == (
        1,
        "The database did not say whether the transaction was committed: look whether the rows are there.",
    )
    assert await count(database) == 1
