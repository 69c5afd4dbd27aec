"""Programs that a cluster is made of, as processes: started, waited for, killed, and gone at the end.

PostgreSQL and what starts it refuse to run as root; then they run as `nobody`, in folders of their own.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from packages import unpacked
from services import CommandFailed, free_port, tail

ACCOUNT: dict[str, Any] = {}
"""The arguments of Popen that make it the process of a user who is not root."""
if os.geteuid() == 0:
    _nobody = pwd.getpwnam("nobody")
    ACCOUNT = {"user": _nobody.pw_uid, "group": _nobody.pw_gid, "extra_groups": []}


def own(folder: Path) -> Path:
    """The folder, made for the processes of ACCOUNT."""
    folder.mkdir(mode=0o700)
    if ACCOUNT:
        shutil.chown(folder, ACCOUNT["user"], ACCOUNT["group"])
    return folder


class Program:
    """`command`, running with a log in `folder`; a context manager that ends it, by SIGTERM first."""

    def __init__(
        self, command: Sequence[str], folder: Path, *, environment: Mapping[str, str] | None = None, **account: Any
    ) -> None:
        self.command, self.folder = list(command), folder
        self.log = folder / f"{Path(command[-1] if len(command) == 1 else command[0]).name}-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=folder,
                env=os.environ | {"LC_ALL": "C"} | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **account,
            )

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, ready: Callable[[], bool], limit: float = 60) -> None:
        """Until it is ready. Raises CommandFailed with the end of its log."""
        until = time.monotonic() + limit
        while not ready():
            if self.process.poll() is not None or time.monotonic() > until:
                raise CommandFailed(f"{tail(self.log.read_text(errors='replace'))}\n\n{self.command[0]}: not ready")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, to its whole session."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self, limit: float = 30) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(limit)
        self.kill()


class HAProxy:
    """A proxy in front of servers on this machine, at `port`, and what it thinks of them."""

    def __init__(self, program: Program, port: int, stats: int) -> None:
        self.program, self.port, self._stats = program, port, stats

    def up(self) -> set[int]:
        """The ports of the servers that get connections now."""
        lines = httpx.get(f"http://127.0.0.1:{self._stats}/;csv", trust_env=False).text.lstrip("# ").splitlines()
        names = lines[0].split(",")
        rows = [dict(zip(names, line.split(","), strict=False)) for line in lines[1:]]
        servers = [row for row in rows if row["pxname"] == "servers" and row["svname"].isdecimal()]
        return {int(row["svname"]) for row in servers if row["status"].startswith("UP")}


@contextmanager
def haproxy(
    folder: Path, servers: Mapping[int, str], checks: str, *, mode: str = "tcp", limit: float = 60
) -> Iterator[HAProxy]:
    """HAProxy in front of servers on this machine, once it has found one: the port of each, and its options.

    Options are such as `check port 8008 inter 500ms`; `checks` are lines of the backend that say how it asks.
    """
    port, stats = free_port(), free_port()
    lines = "\n".join(f"    server {each} 127.0.0.1:{each} {options}" for each, options in servers.items())
    configuration = f"""
global
    maxconn 2000
defaults
    mode {mode}
    timeout connect 2s
    timeout client 90s
    timeout server 90s
    timeout check 2s
frontend clients
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
{checks.strip()}
{lines}
frontend stats
    mode http
    bind 127.0.0.1:{stats}
    stats enable
    stats uri /
"""
    file = folder / f"haproxy-{port}.cfg"
    file.write_text(configuration)
    command = unpacked("bookworm", "haproxy").program("usr/sbin/haproxy")
    with Program([*command, "-db", "-f", str(file)], folder) as program:
        proxy = HAProxy(program, port, stats)

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return bool(proxy.up())
            return False

        program.wait(answers, limit)
        yield proxy
