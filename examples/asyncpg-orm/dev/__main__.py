"""`make dev`: a private server that keeps its data in .dev/, migrated, and the service on it with reload.

With `DATABASE_URL` in the environment of the process, which then wins over `.env`, the server and the database that it
names are used instead. Ctrl-C and SIGTERM end everything that was started here. With the name of a module, as in
`python -m dev alembic current`, that is run on the database of development instead of the service.
"""

import argparse
import asyncio
import os
import runpy
import signal
import socket
import subprocess
import sys
from contextlib import nullcontext

from app.settings import InvalidSettings, load_settings
from app.startup import CannotConnect
from dev import binaries, databases
from dev.development import database, own_server, where
from dev.server import PROJECT, ServerError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev", description="Serve on a private, migrated database.")
    port = os.environ.get("PORT") or "8000"
    parser.add_argument("--port", type=int, default=port, help="of the service (PORT, 8000)")
    parser.add_argument("--no-reload", action="store_true", help="do not watch for changes")
    parser.add_argument("--server-only", action="store_true", help="print the URL of a new database server, and wait")
    parser.add_argument("module", nargs=argparse.REMAINDER, help="run this, with its arguments, instead of the service")
    arguments = parser.parse_args()
    # A shell lets what it starts in the background ignore SIGINT, and a terminal that is closed sends SIGHUP.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        if arguments.module:
            with database():
                run_here(arguments.module)
        else:
            serve(arguments)
    except KeyboardInterrupt:
        return 130 if arguments.module else 0  # a command has not done what it was asked for
    except (ServerError, InvalidSettings, CannotConnect) as error:
        sys.exit(str(error))
    return 0


def serve(arguments: argparse.Namespace) -> None:
    if not arguments.server_only:
        refuse_a_port_that_is_taken(arguments.port)
    given = None if arguments.server_only else os.environ.get("DATABASE_URL")
    with nullcontext() if given else own_server():
        if given:
            load_settings()
            asyncio.run(databases.create(given))
        if arguments.server_only:
            print(os.environ["DATABASE_URL"], flush=True)
            signal.pause()
        run("alembic", "upgrade", "head")
        sql_prompt = None if given else binaries.sql_prompt(where())
        print(f"Database: {where()}\nPrompts:  {', '.join(filter(None, ['make shell', sql_prompt]))}")
        print(f"Service:  http://127.0.0.1:{arguments.port}", flush=True)
        reload = [] if arguments.no_reload else ["--reload", "--reload-dir", "app", "--reload-dir", "migrations"]
        run("uvicorn", "app.main:app", "--port", str(arguments.port), *reload)


def refuse_a_port_that_is_taken(port: int) -> None:
    """Before anything is started: uvicorn would say it after everything is."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            sys.exit(f"Port {port} cannot be used ({error}): choose another one, as in `PORT=8001 make dev`.")


def run_here(module: list[str]) -> None:
    """Run it as `python -m` does, in this process, which has imported half of it already."""
    sys.argv = module
    runpy.run_module(module[0], run_name="__main__", alter_sys=True)


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
