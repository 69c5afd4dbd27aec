"""`make dev`: a private server that keeps its data in .dev/, migrated, and the service on it with reload.

With `DATABASE_URL` in the environment of the process, which then wins over `.env`, the server and the database that it
names are used instead. Ctrl-C and SIGTERM end everything that was started here.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from urllib.parse import quote

from app.settings import InvalidSettings, load_settings
from dev import databases
from dev.server import PROJECT, Server, ServerError, start


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev", description="Serve on a private, migrated database.")
    parser.add_argument("--port", type=int, default=os.environ.get("PORT", "8000"), help="of the service (PORT, 8000)")
    parser.add_argument("--no-reload", action="store_true", help="do not watch app/ for changes")
    parser.add_argument("--server-only", action="store_true", help="print the URL of a new database server, and wait")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell lets what it starts in the background ignore SIGINT
        signal.signal(number, signal.default_int_handler)
    given = None if arguments.server_only else os.environ.get("DATABASE_URL")
    try:
        with nullcontext() if given else start(PROJECT / ".dev") as server:
            if server:
                os.environ["DATABASE_URL"] = url_of_database(server)
            where = create_database(os.environ["DATABASE_URL"])
            if arguments.server_only:
                print(os.environ["DATABASE_URL"], flush=True)
                signal.pause()
            run("alembic", "upgrade", "head")
            print(f"Database: {where}\nService:  http://127.0.0.1:{arguments.port}", flush=True)
            reload = [] if arguments.no_reload else ["--reload", "--reload-dir", "app"]
            run("uvicorn", "app.main:app", "--port", str(arguments.port), *reload)
    except KeyboardInterrupt:
        pass
    except (ServerError, InvalidSettings) as error:
        sys.exit(str(error))
    return 0


def url_of_database(server: Server) -> str:
    with (PROJECT / "pyproject.toml").open("rb") as file:
        name = tomllib.load(file)["project"]["name"]
    return f"{server.url.rpartition('/')[0]}/{name}"


def create_database(url: str) -> str:
    """Create the database unless it is there. Where it is, without the password."""
    target = load_settings().database.target
    try:
        asyncio.run(databases.create(url))
    except Exception as error:  # whatever the driver raises
        sys.exit(f"The database {target.database} on {target.where} cannot be created: {error or type(error).__name__}")
    user = f"{quote(target.user)}@" if target.user else ""
    return f"{url.partition(':')[0]}://{user}{target.where}/{target.database}"


def run(*module: str) -> None:
    """Run a module of this environment in the project's folder to its end; exit when it fails."""
    with subprocess.Popen([sys.executable, "-m", *module], cwd=PROJECT) as process:
        try:
            if process.wait():
                sys.exit(process.returncode)
        finally:  # uvicorn finishes its requests
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
