"""Other templates, rendered by their own published generators: what cannot be installed is said, not left out.

fastapi_template (https://github.com/s3rius/FastAPI-template) brings a table of two columns with a list and a create
route; its list of 100 and its create are measured, although a row of it is a third of ours.
"""

import shutil
import sys
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from candidates import UVICORN, Candidate, run_sql
from services import CommandFailed, Service
from workload import NUMBERS

DATABASES = {"asyncpg": "postgresql", "aiomysql": "mysql"}
SEED = f"INSERT INTO dummy_model (name) SELECT CONCAT('Dummy ', 100000 + n) FROM ({NUMBERS}) AS numbers ORDER BY n"


def install(folder: Path, driver: str) -> Service | str:
    """The peer, or why it cannot be installed."""
    try:
        return fastapi_template(folder, name_for(driver), DATABASES[driver])
    except CommandFailed as failure:
        lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
        telling = [line for line in lines if line.startswith(("Exception:", "error:"))]
        return " ".join(telling or lines[-1:])


def name_for(driver: str) -> str:
    return f"peer_{DATABASES[driver]}"


def peers(service: Service, driver: str, helper: Service) -> list[Candidate]:
    """The peer on its documented command and on ours. `helper` reaches the server."""
    name = name_for(driver)
    made = partial(
        Candidate,
        driver=driver,
        folder=service.path,
        prepare=partial(prepare, service, helper, name),
        environment=partial(environment, name),
        requests={"list": "peer-list", "create": "peer-create"},
        first_request="/api/dummy/?limit=1",
    )
    documented = ("env", f"{name.upper()}_PORT={{port}}", service.executable("python"), "-m", name)
    ours = (service.executable(UVICORN[0]), f"{name}.web.application:get_app", "--factory", *UVICORN[1:])
    return [
        made(f"{driver}-fastapi-template", "fastapi-template", command=documented),
        made(f"{driver}-fastapi-template-uvicorn", "fastapi-template, our command", command=ours),
    ]


def fastapi_template(folder: Path, name: str, database: str) -> Service:
    """A project of fastapi_template, installed as its README says. Raises CommandFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--name", name, "--db", database, "--orm", "sqlalchemy", "--api-type", "rest", "--ci", "none"]
    options += ["--migrations", "--dummy", "--routers", "--force", "--quiet"]
    generator = Service(folder)
    generator.run("uvx", "--python", sys.executable, "--from", "fastapi_template", "fastapi_template", *options)
    service = Service(folder / name)
    shutil.rmtree(service.path / ".venv", ignore_errors=True)  # whatever the generator left of a failed installation
    service.run("uv", "sync", "--locked" if (service.path / "uv.lock").exists() else "--quiet", "--no-dev")
    return service


def environment(name: str, url: str) -> dict[str, str]:
    parts = urlsplit(url)
    settings = {
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "pass": parts.password or "none",
        "base": parts.path[1:],
    }
    return {f"{name}_db_{key}".upper(): str(value) for key, value in settings.items()}


def prepare(service: Service, helper: Service, name: str, url: str) -> None:
    helper.create_database(url)
    Service(service.path, environment=environment(name, url)).run(service.executable("alembic"), "upgrade", "head")
    run_sql(helper, url, SEED)
