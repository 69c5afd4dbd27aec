"""Each rendered service, installed in an environment of its own, is clean, starts, answers and passes its own tests.

On real servers: PostgreSQL from the service's own wheel, MariaDB, MySQL where MYSQLD=/path/to/mysqld names one, and a
real PgBouncer in transaction mode. The Pythons of this machine take turns: its system's own, the oldest that is
supported, 3.13 and the newest two. Each driver also has a run with the lowest versions that pyproject.toml admits.
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
from services import CommandFailed, Service, database_url, pgbouncer, python_called

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Run:
    driver: str
    access: str
    server: str
    python: str  # for python_called
    versions: str = "newest"

    def __str__(self) -> str:
        lowest = "-lowest-versions" if self.versions == "lowest" else ""
        return f"{self.driver}-{self.access}-{self.server.lower()}-{self.python.replace(' ', '-')}-python{lowest}"


# The runs on MySQL are skipped where there is none, so the others have each Python and the lowest versions.
RUNS = [
    Run("asyncpg", "orm", "PostgreSQL", "newest"),
    Run("aiomysql", "databases", "MariaDB", "newest"),
    Run("asyncpg", "databases", "PostgreSQL", "3.13"),
    Run("aiomysql", "orm", "MariaDB", "oldest", versions="lowest"),
    Run("aiomysql", "databases", "MySQL", "system"),
    Run("aiomysql", "orm", "MySQL", "second newest"),
    Run("asyncpg", "orm", "PgBouncer", "second newest"),
    Run("asyncpg", "databases", "PgBouncer", "system", versions="lowest"),
]

# What PyMySQL 1.3 drops (PyMySQL#1274), and aiomysql 0.3.2 imports, is why pyproject.toml bounds PyMySQL.
BOUND_IS_NEEDED = """
import sys
from importlib.metadata import files
names = ("escape_dict", "escape_bytes_prefixed")
modules = [file for file in files("aiomysql") if file.suffix == ".py"]
if not any(name in module.read_text() for module in modules for name in names):
    sys.exit("aiomysql imports no more what PyMySQL 1.3 drops: raise the floor of aiomysql, drop the bound of pymysql")
"""


def environment_for(run: Run) -> dict[str, str]:
    """MYSQLD decides which kind of server the service's `dev` package starts, UV_RESOLUTION what uv installs."""
    if run.server == "MySQL" and not os.environ.get("MYSQLD"):
        pytest.skip("MYSQLD=/path/to/mysqld was not given")
    resolution = {"UV_RESOLUTION": "lowest-direct"} if run.versions == "lowest" else {}
    return resolution if run.server == "MySQL" else {"MYSQLD": "", **resolution}


@contextmanager
def server_for(run: Run, service: Service) -> Iterator[str]:
    with service.dev_server() as url:
        if run.server == "PgBouncer":
            with pgbouncer(url) as pooled:
                yield with_another_host(pooled)
        else:
            yield with_another_host(url) if run.driver == "asyncpg" else url


def with_another_host(url: str) -> str:
    """The URL with a second host, at an IPv6 address, which urllib of some releases of Python cannot read."""
    userinfo, at, location = url.partition("@")
    host, slash, database = location.partition("/")
    return f"{userinfo}{at}{host},[::1]:{host.rpartition(':')[2]}{slash}{database}"


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
    if run.server in ("MySQL", "PgBouncer") and run.versions == "newest":  # as on MariaDB, or on PostgreSQL
        return "same"
    service.run("uv", "run", "mypy")
    return "ok"


def bounds(run: Run, service: Service) -> str:
    """The upper bound of a version is still needed; where it is not, this says what to do."""
    if run.driver == "aiomysql":
        service.run(service.executable("python"), "-c", BOUND_IS_NEEDED)
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
            printed = service.run(*command, timeout=1500, DATABASE_URL=database_url(server))
    else:
        printed = service.run(*command, timeout=1500)
    return printed.rstrip().splitlines()[-1].strip("= ").partition(" in ")[0]


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_rendered_service_is_clean_starts_and_passes_its_tests(
    run: Run, snapshot: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    python, environment = python_called(run.python), environment_for(run)
    answers = {"driver": run.driver, "access": run.access, "external_pooler": run.server == "PgBouncer"}
    service = Service(render(snapshot, tmp_path / NAME, answers), python, environment)
    version = service.run(str(python), "-V").strip()
    lowest = ", lowest versions" if run.versions == "lowest" else ""
    row: dict[str, object] = {"service": f"{run.driver}-{run.access} {run.server} {version}{lowest}"}
    steps = {"lint": lint, "types": types, "bounds": bounds, "boot": boot, "tests": own_tests}
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
