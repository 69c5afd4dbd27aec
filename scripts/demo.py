"""Scaffolds a service with the real Copier, starts it on a private real server and shows its main patterns over HTTP.

Everything that is started is stopped at the end, also after Ctrl-C; the scaffolded service stays, to be looked at.
What fails ends the demo with one sentence, after the end of what the failing command printed.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from harness import ACCESS_STYLES, DRIVERS, NAME, ROOT, paths
from services import CommandFailed, Service, database_url

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
LONGEST_BODY = 400
SERVERS = {"asyncpg": "PostgreSQL", "aiomysql": "MySQL or MariaDB"}


def say(text: str) -> None:
    bold = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold[0]}{text}{bold[1]}", flush=True)


@contextmanager
def step(title: str, command: str) -> Iterator[None]:
    """Announces a command as one would type it, and says how long it took."""
    say(title)
    print(f"  $ {command}", flush=True)
    started = time.monotonic()
    yield
    print(f"  done in {time.monotonic() - started:.1f} s", flush=True)


def scaffold(driver: str, access: str) -> Path:
    """Renders HEAD with what is not committed on top: without `--vcs-ref` Copier takes the last release."""
    service = Path(tempfile.mkdtemp(prefix="fastapi-demo-")) / NAME
    answers = {"project_name": NAME, "driver": driver, "access": access}
    options = [option for name, answer in answers.items() for option in ("--data", f"{name}={answer}")]
    command = ["copier", "copy", "--vcs-ref", "HEAD", "--defaults", *options, str(ROOT), str(service)]
    with step("Scaffolding a service", " ".join(command)):
        # Copier warns of a checkout with changes (it renders them, as wanted) and of a shallow one.
        quiet = [sys.executable, "-W", "ignore", "-m", *command[:2], "--quiet", *command[2:]]
        done = subprocess.run(quiet, text=True, capture_output=True, check=False)
        if done.returncode:
            raise CommandFailed(f"{done.stderr.rstrip()}\n\ncopier copy: exit {done.returncode}")
        print(f"  {len(paths(service))} files in {service}")
    return service


def show(client: httpx.Client, expected: int, method: str, path: str, title: str, body: Any = None) -> httpx.Response:
    """Makes a request and prints it. Raises CommandFailed when the status is not the expected one."""
    response = client.request(method, path, json=body)
    status = f"{response.status_code} {HTTPStatus(response.status_code).phrase}"
    say(title)
    print(f"  {method} {path}" + (f"  {json.dumps(body)}" if body is not None else ""))
    print("  -> " + "  ".join([status, *(f"Location: {v}" for k, v in response.headers.items() if k == "location")]))
    if text := response.text.strip():
        print(f"     {text if len(text) <= LONGEST_BODY else text[:LONGEST_BODY] + ' ...'}", flush=True)
    if response.status_code != expected:
        raise CommandFailed(f"{method} {path} was answered {status}; the demo expects {expected}")
    return response


def show_patterns(client: httpx.Client) -> None:
    ada = {"name": "Ada Lovelace", "email": "Ada@Example.com", "specialty": "compilers"}
    grace = {"name": "Grace Hopper", "email": "grace@example.com", "specialty": "compilers"}
    show(client, 200, "GET", "/health/ready", "Ready: the database answered, on a connection of its own")
    created = show(client, 201, "POST", "/developers", "Created, and committed before this answer left", ada)
    one = httpx.URL(created.headers["Location"]).path
    show(client, 409, "POST", "/developers", "The same e-mail again: the constraint's name, and no SQL", ada)
    show(client, 201, "POST", "/developers", "A second developer", grace)
    show(client, 404, "GET", "/developers/4711", "Nobody has this id")
    page = show(client, 200, "GET", "/developers?specialty=compilers&limit=1", "The first page").json()
    cursor = page["next_cursor"]
    show(client, 200, "GET", f"/developers?specialty=compilers&limit=1&cursor={cursor}", "The next, by its cursor")
    show(client, 200, "PATCH", one, "Only what is given changes", {"specialty": "analysis"})
    show(client, 201, "POST", f"{one}/notes", "A note", {"text": "Note G computes Bernoulli numbers."})
    show(client, 200, "GET", f"{one}/notes", "The notes of a developer")
    show(client, 204, "DELETE", one, "Deleted, and the notes with it")
    show(client, 404, "GET", one, "Gone")
    metrics = client.get("/metrics")
    if metrics.status_code == HTTPStatus.OK:
        say("What the pool did")
        print("  GET /metrics")
        pool = [line for line in metrics.text.splitlines() if "pool" in line and not line.startswith("#")]
        print("\n".join(f"     {line}" for line in pool), flush=True)


def demonstrate(path: Path, driver: str, keep: bool) -> None:
    service = Service(path)
    with step("Installing it", "uv sync"):
        done = subprocess.run(["uv", "sync"], cwd=path, env=service.variables, check=False)  # shows its own progress
        if done.returncode:
            raise CommandFailed(f"uv sync: exit {done.returncode}")
    say(f"Starting a private {SERVERS[driver]} server, with the package dev/ that `make dev` and the tests use")
    with service.dev_server() as server:
        url = database_url(server)
        service.create_database(url)
        print(f"  DATABASE_URL={url}")
        with step("Migrating", "uv run alembic upgrade head"):
            service.run("uv", "run", "alembic", "upgrade", "head", DATABASE_URL=url)
        with step("Starting the service", "uv run uvicorn app.main:app"), ExitStack() as running:
            client = running.enter_context(service.serving(url))
            serving = running.pop_all()
        with serving:
            show_patterns(client)
            if keep:
                with suppress(KeyboardInterrupt):
                    say(f"The service answers at {client.base_url}docs until Ctrl-C")
                    signal.pause()


def interrupt(*_: object) -> None:
    """Once: `uv run` passes on the Ctrl-C that the terminal has sent to all of us, and cleaning up must go through."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def how_to_go_on(path: Path) -> None:
    say(f"Everything is stopped. The service is in {path}:")
    uv = Path(shutil.which("uv") or "uv")
    if uv.is_relative_to(ROOT):
        print(f'  export PATH="{uv.parent}:$PATH"   # uv, as this demo installed it')
    print(f"  cd {path}")
    print("  make dev                            # serve with reload, on a private server")
    print("  make test                           # its own tests")
    print("A service of your own, which `copier update` can reach later:")
    print(f'  uvx copier copy "{ROOT}" ~/my-service')


def main() -> int | str:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver", choices=DRIVERS, default=DRIVERS[0])
    parser.add_argument("--access", choices=ACCESS_STYLES, default=ACCESS_STYLES[0])
    parser.add_argument("--keep", action="store_true", help="leave the service running until Ctrl-C")
    options = parser.parse_args()
    for number in INTERRUPTS:
        signal.signal(number, interrupt)
    try:
        path = scaffold(options.driver, options.access)
        demonstrate(path, options.driver, options.keep)
    except KeyboardInterrupt:
        return "error: the demo was interrupted; what it started is stopped"
    except CommandFailed as failure:
        return f"\n{failure}\nerror: the demo failed at the command above"
    how_to_go_on(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
