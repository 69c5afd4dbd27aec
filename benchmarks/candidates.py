"""What is measured: the rendered services, the same routes by hand, reading without a framework, the published pattern,
and other templates.

Each candidate has a database of its own with the same rows, on the one server of its driver.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness import ACCESS_STYLES, DRIVERS, combination_id, copy_template, render
from services import Service
from workload import SEED

HERE = Path(__file__).resolve().parent
# The command of the rendered Dockerfile, on a port of ours: one process; uvloop and httptools, which uvicorn finds.
UVICORN = ("uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--timeout-graceful-shutdown", "20")
ROUTES = {work: work for work in ("read", "list", "create", "transfer")}

RUN_SQL = """
import asyncio, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from app.database.driver import DIALECT

async def main(url, *statements):
    engine = create_async_engine(f"{DIALECT}://{url.partition('://')[2]}")
    async with engine.begin() as connection:
        results = [await connection.execute(text(statement)) for statement in statements]
        print(*(row for row in results[-1]) if results[-1].returns_rows else (), sep="\\n")
    await engine.dispose()

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A service to be measured. `requests` says with which requests it is asked for each kind of work.

    `prepare` fills a new database, `environment` tells the service where it is; both get the database's URL.
    """

    name: str
    group: str
    driver: str
    command: tuple[str, ...]
    folder: Path
    prepare: Callable[[str], None]
    environment: Callable[[str], Mapping[str, str]] = lambda url: {"DATABASE_URL": url}
    requests: Mapping[str, str] = field(default_factory=lambda: ROUTES)
    first_request: str = "/developers/1"

    @property
    def database(self) -> str:
        return f"bench_{self.name}".replace("-", "_")


def services(folder: Path) -> dict[str, Service]:
    """The four rendered services, installed. Raises CommandFailed."""
    template = copy_template(folder / "template")
    rendered = {}
    for driver in DRIVERS:
        for access in ACCESS_STYLES:
            answers = {"driver": driver, "access": access}
            name = combination_id(answers)
            # No variable of the user decides which kind of MySQL is measured.
            service = Service(render(template, folder / name, answers), environment={"MYSQLD": ""})
            service.run("uv", "sync", "--quiet")
            rendered[name] = service
    return rendered


def run_sql(service: Service, url: str, *statements: str) -> str:
    """Runs the statements in one transaction; what the last one returned, a row a line."""
    return service.run(service.executable("python"), "-c", RUN_SQL, url, *statements)


def migrate_and_seed(service: Service, url: str) -> None:
    service.create_database(url)
    service.run(service.executable("alembic"), "upgrade", "head", DATABASE_URL=url)
    run_sql(service, url, *SEED)


def candidates(rendered: Mapping[str, Service], driver: str) -> list[Candidate]:
    """Those that need nothing but the rendered services and their libraries."""
    found = []
    orm = rendered[combination_id({"driver": driver, "access": "orm"})]
    prepare = partial(migrate_and_seed, orm)
    only_reads = {work: work for work in ("read", "list")}
    for group, module, requests in (
        ("bare", f"on_{driver}", only_reads),
        ("floor", f"on_{driver}", ROUTES),
        ("published", "app", ROUTES),
    ):
        command = (orm.executable(UVICORN[0]), f"{module}:app", *UVICORN[1:])
        found.append(Candidate(f"{driver}-{group}", group, driver, command, HERE / group, prepare, requests=requests))
    for access in ACCESS_STYLES:
        service = rendered[combination_id({"driver": driver, "access": access})]
        command = (service.executable(UVICORN[0]), "app.main:app", *UVICORN[1:])
        found.append(Candidate(f"{driver}-{access}", access, driver, command, service.path, prepare))
    return found
