"""Each rendered service, installed in an environment of its own, is clean, starts, answers and passes its own tests.

On real servers: PostgreSQL from the service's own wheel, MariaDB, MySQL where MYSQLD=/path/to/mysqld names one, and a
real PgBouncer in transaction mode. Each combination runs on the newest Python of this machine; each driver and each
access style also on the oldest.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from harness import NAME, render
from services import CommandFailed, Service, database_url, interpreters, pgbouncer

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Run:
    driver: str
    access: str
    server: str
    python: str = "newest"

    def __str__(self) -> str:
        oldest = "-oldest-python" if self.python == "oldest" else ""
        return f"{self.driver}-{self.access}-{self.server.lower()}{oldest}"


RUNS = [
    Run("asyncpg", "orm", "PostgreSQL"),
    Run("aiomysql", "databases", "MariaDB"),
    Run("asyncpg", "databases", "PostgreSQL"),
    Run("aiomysql", "orm", "MariaDB"),
    Run("aiomysql", "databases", "MySQL", python="oldest"),
    Run("aiomysql", "orm", "MySQL"),
    Run("asyncpg", "orm", "PgBouncer", python="oldest"),
    Run("asyncpg", "databases", "PgBouncer"),
]


def python_for(run: Run) -> Path:
    installed = interpreters()
    assert installed, "no Python 3.11 or later was found"
    return installed[0 if run.python == "oldest" else -1]


def environment_for(run: Run) -> dict[str, str]:
    """MYSQLD decides which kind of server the service's `dev` package starts."""
    if run.server == "MySQL" and not os.environ.get("MYSQLD"):
        pytest.skip("MYSQLD=/path/to/mysqld was not given")
    return {} if run.server == "MySQL" else {"MYSQLD": ""}


@contextmanager
def server_for(run: Run, service: Service) -> Iterator[str]:
    with service.dev_server() as url:
        if run.server == "PgBouncer":
            with pgbouncer(url) as pooled:
                yield pooled
        else:
            yield url


def answers_over_http(client: httpx.Client) -> None:
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 200
    ada = {"name": "Ada Lovelace", "email": "Ada@Example.com", "specialty": "analysis"}
    created = client.post("/developers", json=ada)
    assert created.status_code == 201, created.text
    assert created.json()["email"] == "ada@example.com"
    assert client.get(created.headers["Location"]).json() == created.json()
    duplicate = client.post("/developers", json=ada)
    assert duplicate.status_code == 409, duplicate.text
    assert duplicate.headers["Content-Type"] == "application/problem+json"
    assert "INSERT" not in duplicate.text, "SQL must not leave"
    assert client.get("/developers/4711").status_code == 404
    assert client.get("/developers").json() == {"items": [created.json()], "next_cursor": None}


def lint(run: Run, service: Service) -> str:
    service.run("uv", "run", "ruff", "check", ".")
    service.run("uv", "run", "ruff", "format", "--check", ".")
    return "ok"


def types(run: Run, service: Service) -> str:
    if run.server in ("MySQL", "PgBouncer") and run.python == "newest":  # as on MariaDB, or on PostgreSQL
        return "same"
    service.run("uv", "run", "mypy")
    return "ok"


def boot(run: Run, service: Service) -> str:
    """Migrates a new database and asks the service over HTTP, under a real uvicorn."""
    with server_for(run, service) as server:
        url = database_url(server)
        service.create_database(url)
        service.run("uv", "run", "alembic", "upgrade", "head", DATABASE_URL=url)
        with service.serving(url) as client:
            answers_over_http(client)
    return "ok"


def own_tests(run: Run, service: Service) -> str:
    """The service's tests as its team runs them; behind the pooler on the server of DATABASE_URL. "87 passed"."""
    command = ("uv", "run", "pytest", "-q", "-o", "faulthandler_timeout=60")  # a hanging test shows where
    if run.server == "PgBouncer":
        with server_for(run, service) as server:
            printed = service.run(*command, DATABASE_URL=database_url(server))
    else:
        printed = service.run(*command)
    return printed.rstrip().splitlines()[-1].strip("= ").partition(" in ")[0]


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_rendered_service_is_clean_starts_and_passes_its_tests(
    run: Run, snapshot: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    python, environment = python_for(run), environment_for(run)
    answers = {"driver": run.driver, "access": run.access, "external_pooler": run.server == "PgBouncer"}
    service = Service(render(snapshot, tmp_path / NAME, answers), python, environment)
    version = service.run(str(python), "-V").strip()
    row: dict[str, object] = {"service": f"{run.driver}-{run.access} {run.server} {version}"}
    steps = {"lint": lint, "types": types, "boot": boot, "tests": own_tests}
    failures = []
    started = time.monotonic()
    service.run("uv", "sync", "--quiet")
    for column, step in steps.items():  # each of them, so that one run shows all that is wrong
        try:
            row[column] = step(run, service)
        except CommandFailed as failure:
            row[column] = "FAILED"
            failures.append(f"{row['service']}: {column}\n\n{failure}")
    record_property("table", json.dumps(row | {"seconds": round(time.monotonic() - started)}))
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)
