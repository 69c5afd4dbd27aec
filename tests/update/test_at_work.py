"""An edited service at work after an update: clean, with its own tests passing, and with what the release brings.

The whole of its tests runs for the oldest supported release, whose seeds are the farthest from ours, once; the tests
that its team has, for each release and access style. What is the template's is after any of these updates a fresh
render with the team's edits (test_edited.py), and tests/test_services.py runs all of that.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import ACCESS_STYLES, DRIVERS, NAME, commit
from packaging.version import Version
from releases import Release, supported, update
from services import CommandFailed, Service, python_called

from update.edits import CI_OF_TEAM, work_for_months
from update.states import conflicts, scaffold

pytestmark = pytest.mark.slow

Recorder = Callable[[str, object], None]

TEAMS_TESTS = ("tests/test_orders.py", "tests/test_developers.py", "tests/template/test_migrations.py")
MADE_BY_THE_TABLE = "tests/test_orders.py::test_what_the_table_makes_is_in_the_answers"


@contextmanager
def shown() -> Iterator[None]:
    """A command that fails is a failure of the test, shown by the end of what it printed."""
    try:
        yield
    except CommandFailed as failure:
        raise pytest.fail.Exception(str(failure), pytrace=False) from None


def edited(template: Path, target: Path, release: Release, driver: str, access: str, team: str) -> Service:
    """A service that its team has worked at for months, committed."""
    answers = {"driver": driver, "access": access, "ci": CI_OF_TEAM[team]}
    service = Service(scaffold(template, target, answers, str(release)), python_called("3.13"), {"MYSQLD": ""})
    work_for_months(service.path, access, team)
    commit(service.path, "The work of months")
    return service


def test_an_edited_service_is_clean_and_passes_all_its_tests_after_an_update(
    oldest: Release, versioned: Path, tmp_path: Path, record_property: Recorder
) -> None:
    service = edited(versioned, tmp_path / NAME, oldest, "asyncpg", "orm", "renaming")
    is_at_work(service, f"asyncpg-orm edited, {oldest}, all", record_property)


@pytest.mark.parametrize("access", ACCESS_STYLES)
def test_an_edited_service_of_each_release_passes_its_teams_tests_after_an_update(
    access: str, release: Release, versioned: Path, tmp_path: Path, record_property: Recorder
) -> None:
    """The drivers, and what the team has done, in turns."""
    turn = supported().index(release) + ACCESS_STYLES.index(access)
    driver, team = (list(each)[turn % 2] for each in (DRIVERS[::-1], CI_OF_TEAM))
    service = edited(versioned, tmp_path / NAME, release, driver, access, team)
    is_at_work(service, f"{driver}-{access} edited, {release}", record_property, *TEAMS_TESTS)


def is_at_work(service: Service, name: str, record_property: Recorder, *tests: str) -> None:
    started = time.monotonic()
    update(service.path)
    assert conflicts(service.path) == []
    with shown():
        service.run("uv", "sync", "--quiet")
        service.run("make", "check")
        printed = service.run("uv", "run", "pytest", "-q", "-o", "faulthandler_timeout=60", *tests, timeout=1500)
    row = {"service": name, "lint": "ok", "types": "ok", "boot": "-"}
    row["tests"] = printed.rstrip().splitlines()[-1].strip("= ").partition(" in ")[0]
    record_property("table", json.dumps(row | {"seconds": round(time.monotonic() - started)}))


@pytest.mark.parametrize(
    ("driver", "access", "answered"),
    [("asyncpg", "databases", "not-null-violation"), ("aiomysql", "orm", "Internal Server Error")],
)
def test_what_a_table_makes_is_stored_and_known_after_an_update_alone(
    release: Release, versioned: Path, tmp_path: Path, driver: str, access: str, answered: str
) -> None:
    """Up to 0.1.0 `databases` dropped Python-side defaults, and the ORM could not read what an UPDATE had made."""
    if release.version >= Version("0.2.0"):
        pytest.skip("this release has it already")
    service = edited(versioned, tmp_path / NAME, release, driver, access, "renaming")
    with shown():
        service.run("uv", "sync", "--quiet")
    commit(service.path, "Lock")
    with pytest.raises(CommandFailed, match=answered):
        service.run("uv", "run", "pytest", "-q", MADE_BY_THE_TABLE)
    before = service.path.joinpath("app", "orders", "queries.py").read_text()
    update(service.path)
    assert service.path.joinpath("app", "orders", "queries.py").read_text() == before
    with shown():
        service.run("uv", "sync", "--quiet")
        service.run("uv", "run", "pytest", "-q", MADE_BY_THE_TABLE)
