"""The first day by the README alone: the example slices are deleted, and one with a foreign key is added to them.

The commands are those of the rendered README, word for word; what a reader would write is in tests/slice/.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import COMBINATIONS, combination_id, commit, files, git, is_seed, render
from harness import NAME as SERVICE
from services import CommandFailed, Service, database_url, free_port, python_called

pytestmark = pytest.mark.slow

SLICE = Path(__file__).parent / "slice"
WIDTHS = {"asyncpg-orm": 88, "asyncpg-databases": 100, "aiomysql-orm": 140, "aiomysql-databases": 100}
SERVERS = {"asyncpg-orm": "PostgreSQL", "asyncpg-databases": "PostgreSQL", "aiomysql-orm": "MySQL"}
RUNS = [(combination, SERVERS.get(combination_id(combination), "MariaDB")) for combination in COMBINATIONS]


def block(service: Path, heading: str) -> str:
    """The commands of a section of the README."""
    readme = (service / "README.md").read_text("utf-8")
    (section,) = re.findall(rf"^## {heading}$(.*?)(?=^## )", readme, re.MULTILINE | re.DOTALL)
    (commands,) = re.findall(r"^ *```sh\n(.*?)^ *```", section, re.MULTILINE | re.DOTALL)
    return str(commands)


def deletion_of_bulk(service: Path) -> str:
    """The commands of the page on bulk functions, which nothing else of the template needs."""
    (commands,) = re.findall(r"```sh\n(rm .*?)```", (service / "docs" / "bulk.md").read_text("utf-8"), re.DOTALL)
    return str(commands)


def run(service: Service, commands: str) -> str:
    """As a reader pastes them, up to the first that fails."""
    return service.run("bash", "-euxo", "pipefail", "-c", commands)


@contextmanager
def shown() -> Iterator[None]:
    """A command that fails is a failure of the test, shown by the end of what it printed."""
    try:
        yield
    except CommandFailed as failure:
        raise pytest.fail.Exception(str(failure), pytrace=False) from None


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_a_service_without_its_slices_is_clean_starts_and_passes_its_tests(
    combination: dict[str, str], snapshot: Path, tmp_path: Path
) -> None:
    first = Service(render(snapshot, tmp_path / SERVICE, combination), python_called("newest"), {"MYSQLD": ""})
    with shown():
        commit(first.path, "Scaffold")
        before = files(first.path)
        run(first, block(first.path, "Delete the examples"))
        if combination["access"] == "orm":  # with the others it stays
            run(first, deletion_of_bulk(first.path))
        assert not [name for name in files(first.path) if is_seed(name) and re.search("developers|notes", name)]
        changed = git(first.path, "diff", "--name-only", "--diff-filter=M").split()
        assert changed == ["app/extensions.py", "app/models.py"]
        for seed in changed:
            assert (first.path / seed).read_text().startswith(before[seed].partition('"""\n')[0]), "its docstring"
        commit(first.path, "Without the examples")

        # As the next one has it, who clones it: a folder without a file is not there.
        git(tmp_path, "clone", "--quiet", str(first.path), "clone")
        service = Service(tmp_path / "clone", first.python, first.environment)
        service.run("uv", "sync", "--quiet")
        with service.dev_server() as server:
            url = database_url(server)
            service.create_database(url)
            service.run("make", "migrate", DATABASE_URL=url)
            with service.serving(url) as client:
                assert client.get("/health/ready").status_code == 200
                assert client.get("/developers").status_code == 404
            service.run("uv", "run", "alembic", "revision", "-m", "the first", DATABASE_URL=url)
            service.run("make", "check", "migrate", DATABASE_URL=url)
        # All of its tests in one; in the others, that all that they import is there, whatever a team has deleted.
        if combination == COMBINATIONS[0]:
            service.run("make", "test", timeout=1500)
        else:
            shutil.rmtree(service.path / "docs")
            service.run("uv", "run", "pytest", "--collect-only", "-q")


@pytest.mark.parametrize(
    ("combination", "server"), RUNS, ids=[f"{combination_id(combination)}-{server}" for combination, server in RUNS]
)
def test_a_slice_with_a_foreign_key_is_added_by_the_readme_alone(
    combination: dict[str, str], server: str, snapshot: Path, tmp_path: Path
) -> None:
    if server == "MySQL" and not os.environ.get("MYSQLD"):
        pytest.skip("MYSQLD=/path/to/mysqld was not given")
    environment = {} if server == "MySQL" else {"MYSQLD": ""}
    service = Service(render(snapshot, tmp_path / SERVICE, combination), python_called("newest"), environment)
    with shown():
        service.run("uv", "sync", "--quiet")
        add_orders(service.path, combination["access"])
        with developing(service) as port:
            run(service, block(service.path, "Add a slice").replace("PORT", port))
        service.run("make", "check")
        service.run("make", "test-own")

        # A line length of the team's own, for what is the template's too.
        width, ruff = WIDTHS[combination_id(combination)], service.path / "ruff.toml"
        ruff.write_text(ruff.read_text().replace("line-length = 120", f"line-length = {width}"))
        service.run("make", "format")
        service.run("make", "check")


def add_orders(service: Path, access: str) -> None:
    """The files, with the model as in the docs, and the two lines in the seeds."""
    for folder in ("common", access):
        shutil.copytree(SLICE / folder, service, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    docs = (service / "docs" / "database.md").read_text("utf-8")
    _, _, recipe = docs.partition("**A foreign key**")
    (example,) = re.findall(r"```python\n(.*?)^```", recipe, re.MULTILINE | re.DOTALL)
    models = (service / "app" / "orders" / "models.py").read_text("utf-8").splitlines()
    assert [line for line in example.splitlines() if line not in models] == []
    for seed, old, new in (
        ("models", "from app.notes import models as notes\n", "from app.orders import models as orders\n"),
        ("models", '"notes"', ', "orders"'),
        ("extensions", "from app.notes.routes import router as notes\n", None),
        ("extensions", ", notes", ", orders"),
    ):
        path = service / "app" / f"{seed}.py"
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, old + (new or old.replace("notes", "orders"))))


@contextmanager
def developing(service: Service) -> Iterator[str]:
    """While `make dev` runs: the port of its database, which it prints."""
    with (
        (service.path.parent / "dev.log").open("w+") as log,
        service.background("make", "dev", log=log, PORT=str(free_port())) as process,
    ):
        printed = ""
        while not (found := re.search(r"^Database: .*:(\d+)/", printed, re.MULTILINE)):
            if process.poll() is not None:
                raise CommandFailed(printed)
            time.sleep(0.1)
            printed = Path(log.name).read_text("utf-8")
        yield found[1]
