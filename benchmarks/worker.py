"""One uvicorn worker on a core of its own, and what the kernel says that it used. Linux only, for /proc."""

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from services import CommandFailed, free_port, tail

START_LIMIT = 60.0
FILES = 65_536
"""Descriptors that a process may have open: 1,000 clients and more need them on both ends."""

CORES = sorted(os.sched_getaffinity(0))
SERVICE_CORE = {CORES[0]}
OTHER_CORES = set(CORES[1:]) or SERVICE_CORE
"""The database's server and the load generator."""


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Processes that are started inside run on these cores, and so do theirs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most) if most > 0 else FILES, most))


@dataclass(frozen=True)
class Worker:
    """A service that answers. `start_up` is the time from its start to the first answer, in seconds."""

    pid: int
    port: int
    start_up: float

    def cpu(self) -> float:
        """Seconds that it has run so far, of the user and of the system, exact to far below a clock tick."""
        return sum(int((task / "schedstat").read_text().split()[0]) for task in _tasks(self.pid)) / 1e9

    def memory(self) -> float:
        """Resident, in MiB."""
        processes = {task.parents[1] for task in _tasks(self.pid)}
        statuses = [(process / "status").read_text() for process in processes]
        return sum(int(status.partition("VmRSS:")[2].split()[0]) for status in statuses) / 1024


@contextmanager
def start(command: list[str], folder: Path, variables: Mapping[str, str], first_request: str) -> Iterator[Worker]:
    """Starts `command`, with {port} in it replaced, and stops it on the way out. Raises CommandFailed."""
    port = free_port()
    command = [part.format(port=port) for part in command]
    with tempfile.TemporaryFile("w+") as log:
        started = time.monotonic()
        with pinned(SERVICE_CORE):
            process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
                while not _answers(client, first_request):
                    if process.poll() is not None or time.monotonic() > started + START_LIMIT:
                        log.seek(0)
                        raise CommandFailed(f"{tail(log.read())}\n\n{' '.join(command)}: does not answer")
                    time.sleep(0.005)
            yield Worker(process.pid, port, time.monotonic() - started)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _tasks(pid: int) -> list[Path]:
    """The threads of a process and of its children: some templates start a supervisor."""
    own = list(Path(f"/proc/{pid}/task").iterdir())
    children = [int(child) for task in own for child in (task / "children").read_text().split()]
    return own + [task for child in children for task in _tasks(child)]


def _answers(client: httpx.Client, request: str) -> bool:
    try:
        return client.get(request).status_code == 200
    except httpx.TransportError:
        return False
