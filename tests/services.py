"""Rendered services at work: installed with uv, on private real servers, started, asked over HTTP and stopped.

Used by the tests and by scripts/demo.py. A command that fails raises CommandFailed, whose text is the end of what the
command printed. Whatever is started here is stopped on the way out, also after Ctrl-C.
"""

import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import IO

import httpx
from harness import NAME, ROOT

LINES_OF_A_FAILURE = 60

PROBE = """
import json, platform, sys
final = sys.version_info.releaselevel == "final" and platform.python_implementation() == "CPython"
usable = final and sys.version_info >= (3, 11) and "t" not in sys.abiflags
print(json.dumps([sys.version_info[:2], getattr(sys, "_base_executable", sys.executable)] if usable else None))
"""

DEV_SERVER = """
import sys
from pathlib import Path
from dev import server
try:
    running = server.start(*map(Path, sys.argv[1:]))
except server.ServerError as error:
    sys.exit(str(error))
with running:
    print(running.url, flush=True)
    sys.stdin.read()
"""

CREATE_DATABASE = """
import asyncio, sys
from dev import databases
asyncio.run(databases.create(sys.argv[1]))
"""

ADMINISTER = """
import asyncio, sys
from app.database import driver
from app.settings import DatabaseSettings

async def run(url, *statements):
    settings = DatabaseSettings(url=url)
    connection = await driver.connect(settings.target, settings, read_only=False)
    for statement in statements:
        await driver.scalar(connection, statement)
    await driver.close(connection)

asyncio.run(run(*sys.argv[1:]))
"""


class CommandFailed(Exception):
    """What was run, and the end of what it printed."""


def tail(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-LINES_OF_A_FAILURE:])


@cache
def interpreters() -> dict[tuple[int, int], Path]:
    """One Python for each version from 3.11 on that is on this machine and really runs, the oldest first."""
    named = [*unpacked(), *(shutil.which(f"python3.{minor}") for minor in range(11, 30))]
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser().glob("versions/*/bin/python3")
    command = ["uv", "python", "list", "--only-installed", "--offline", "--output-format", "json"]
    managed = subprocess.run(command, text=True, capture_output=True, check=False).stdout
    listed = [python["path"] for python in json.loads(managed or "[]")]
    found: dict[tuple[int, int], Path] = {}
    for candidate in dict.fromkeys(map(str, filter(None, [*named, *pyenv, *listed]))):
        if usable := probed(candidate):
            found.setdefault(*usable)
    assert found, "no Python 3.11 or later was found"
    return dict(sorted(found.items()))


def probed(candidate: str) -> tuple[tuple[int, int], Path] | None:
    """The version and the program of a Python that services run on, or None."""
    try:
        probe = subprocess.run([candidate, "-c", PROBE], text=True, capture_output=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None  # a shim of pyenv for a version that is not switched on
    usable = json.loads(probe.stdout)
    return ((usable[0][0], usable[0][1]), Path(usable[1])) if usable else None


def unpacked() -> list[str]:
    """The newest versions, of which few systems have a package yet, where a tool beside this checkout has them."""
    tool = ROOT.parent / "shared" / "tools" / "python"
    if not os.access(tool, os.X_OK):
        return []
    with Path(tempfile.gettempdir(), "unpacked-pythons.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first use unpacks, and the workers of pytest would do it at once
        asked = [subprocess.run([tool, version], text=True, capture_output=True) for version in ("3.14", "3.15")]
    return [done.stdout.strip() for done in asked if done.returncode == 0]


def python_called(which: str) -> Path:
    """A version as `3.13` or the nearest below it, the `oldest`, the `newest`, the `second newest`, the `system`'s own.

    Where the system's is older than 3.11, or a version and all below it are missing, it is the oldest that there is.
    """
    pythons = list(interpreters().values())
    if which == "system":
        own = probed("/usr/bin/python3")
        return own[1] if own else pythons[0]
    if which == "second newest":
        return pythons[-2:][0]
    if which in ("oldest", "newest"):
        return pythons[0 if which == "oldest" else -1]
    limit = tuple(map(int, which.split(".")))
    return [pythons[0], *(python for version, python in interpreters().items() if version <= limit)][-1]


@dataclass(frozen=True)
class Service:
    """A rendered service in `path`, with an environment of its own."""

    path: Path
    python: Path = Path(getattr(sys, "_base_executable", sys.executable))
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        return {**os.environ, "UV_PYTHON": str(self.python), **self.environment}

    def executable(self, name: str) -> str:
        return str(self.path / ".venv" / "bin" / name)

    def run(self, *command: str, timeout: float = 300, **variables: str) -> str:
        """What the command prints. Raises CommandFailed. A command that takes too long is ended with its children."""
        process = subprocess.Popen(
            command,
            cwd=self.path,
            env=self.variables | variables,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise CommandFailed(f"{tail(printed)}\n\n{' '.join(command)}: not through after {timeout} s") from None
        if process.returncode:
            raise CommandFailed(f"{tail(printed)}\n\n{' '.join(command)}: exit {process.returncode}")
        return printed

    @contextmanager
    def background(
        self, *command: str, log: IO[str], ends_with_input: bool = False, **variables: str
    ) -> Iterator[subprocess.Popen[str]]:
        """A process that is asked to stop on the way out. In a session of its own: Ctrl-C must not reach it first.

        With `ends_with_input` it prints to a pipe instead of the log, and stops by itself when its input ends.
        """
        process = subprocess.Popen(
            command,
            cwd=self.path,
            env=self.variables | variables,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if ends_with_input else log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.stdin:
                process.stdin.close()
            if not ends_with_input:
                process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
                if process.stdout:
                    process.stdout.close()

    @contextmanager
    def dev_server(self, data: Path | None = None) -> Iterator[str]:
        """The administrator's URL of a private server, started by the service's own `dev` package.

        `data` is the folder that keeps its data.
        """
        command = [self.executable("python"), "-c", DEV_SERVER, *([str(data)] if data else [])]
        with (
            tempfile.TemporaryFile("w+") as log,
            self.background(*command, log=log, ends_with_input=True) as process,
        ):
            assert process.stdout
            if not (url := process.stdout.readline().strip()):
                process.wait(60)
                log.seek(0)
                raise CommandFailed(f"{tail(log.read())}\n\ndev.server.start(): no server")
            yield url

    def administer(self, url: str, *statements: str) -> None:
        """Runs the statements on a connection of their own that may write."""
        self.run(self.executable("python"), "-c", ADMINISTER, url, *statements)

    def create_database(self, url: str) -> None:
        self.run(self.executable("python"), "-c", CREATE_DATABASE, url, DATABASE_URL=url)

    def migrate(self, url: str) -> None:
        """Make the database of this URL where it is not there yet, and bring it to the newest migration."""
        self.create_database(url)
        self.run(self.executable("alembic"), "upgrade", "head", DATABASE_URL=url)

    @contextmanager
    def serving(self, url: str, **variables: str) -> Iterator[httpx.Client]:
        """A client of the service, which runs under a real uvicorn on the database of `url`."""
        port = free_port()
        command = [self.executable("uvicorn"), "app.main:app", "--port", str(port)]
        with (
            tempfile.TemporaryFile("w+") as log,
            self.background(*command, log=log, ends_with_input=False, **variables, DATABASE_URL=url) as process,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
        ):
            until = time.monotonic() + 60
            while not _is_live(client):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise CommandFailed(f"{tail(log.read())}\n\n{' '.join(command)}: does not answer")
                time.sleep(0.05)
            try:
                yield client
            except (AssertionError, httpx.HTTPError) as error:
                log.seek(0)
                raise CommandFailed(f"{tail(log.read())}\n\nthe service answered wrongly: {error}") from error


def _is_live(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


# Its own answers to --version and --initialize need none of them.
SERVER_WITH_OPTIONS = """#!/bin/sh
case " $* " in *" --port="*) set -- "$@" {options} ;; esac
exec {binary} "$@"
"""


def with_server_options(service: Service, script: Path, *options: str) -> Service:
    """The service with MYSQLD, or else MariaDB, as the server that its `dev` package starts, with these options."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/local/sbin", "/usr/sbin"])
    binary = shutil.which(service.environment["MYSQLD"] or "mariadbd", path=path)
    assert binary, "no server to start"
    words = SERVER_WITH_OPTIONS.format(binary=shlex.quote(str(Path(binary).absolute())), options=shlex.join(options))
    script.write_text(words)
    script.chmod(0o755)
    return replace(service, environment={**service.environment, "MYSQLD": str(script)})


def database_url(server_url: str, name: str = NAME) -> str:
    return f"{server_url.rpartition('/')[0]}/{name}"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def pgbouncer(server_url: str, program: Sequence[str] = ("pgbouncer",), /, **options: object) -> Iterator[str]:
    """The same server through a PgBouncer in transaction mode, with `options` or, but for the clients that it takes,
    PgBouncer's own defaults.

    `program` is the beginning of the command that runs it, where it is not the system's own.
    """
    server = httpx.URL(server_url)
    port = free_port()
    # Of its own it takes 100 clients, which the pools of four workers' tests and eight migrations at once may come to.
    options = {"unix_socket_dir": "", "max_client_conn": 1000, **options}
    settings = f"""
[databases]
* = host={server.host} port={server.port} user={server.username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
""" + "".join(f"{name} = {value}\n" for name, value in options.items())
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        Path(folder).chmod(0o755)
        file = Path(folder, "pgbouncer.ini")
        file.write_text(settings)
        user = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root
        process = subprocess.Popen(
            [*program, *user, str(file)], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            until = time.monotonic() + 30
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    raise CommandFailed(f"{tail(log.read())}\n\npgbouncer: does not listen")
                time.sleep(0.05)
            yield str(server.copy_with(port=port))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            finally:
                process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
