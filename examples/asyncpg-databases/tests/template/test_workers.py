"""Workers count together: each answers with the sum of all, and nothing is lost when one is killed."""

import fcntl
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from app.settings import Settings
from app.workers import VARIABLE
from tests.processes import Process, port_of, prepare
from tests.template.test_start import connected, uvicorn

prepare()

# A service that says which of its workers answers, with a metric of the team's.
SERVICE = """
import asyncio
import os
from pathlib import Path

from prometheus_client import Counter, Gauge
from sqlalchemy import select

from app.database import ReadSession
from app.main import create_app
from tests.statements import value

app = create_app()
asked = Counter("orders_asked", "Orders that were asked for", ["kind"])


@app.get("/worker")
async def worker(session: ReadSession) -> int:
    asked.labels("any").inc()
    await value(session, select(1))
    return os.getpid()


@app.get("/held")
async def held(session: ReadSession) -> None:
    await value(session, select(1))
    Path("held").touch()
    await asyncio.Event().wait()
"""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Worker:
    """A connection to one of the workers, which stays with it."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.connection = connection
        self.pid = int(self.get("/worker"))

    def get(self, path: str) -> str:
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        body = response.read().decode()
        assert response.status == 200, body
        return body

    def metrics(self) -> Samples:
        families = text_string_to_metric_families(self.get("/metrics"))
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels; of one that there is at least."""
    found = [value for (known, all_labels), value in samples.items() if known == name and labels.items() <= all_labels]
    assert found, name
    return sum(found)


def until(happened: Callable[[], bool]) -> None:
    for _ in range(3000):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("it never happened")


@contextmanager
def served(folder: Path, settings: Settings, *options: str) -> Iterator[tuple[Process, int]]:
    (folder / "service.py").write_text(SERVICE)
    (folder / "tmp").mkdir(exist_ok=True)
    variables = {"TMPDIR": str(folder / "tmp"), "DATABASE_URL": settings.database.url.get_secret_value()}
    variables |= {"DATABASE_POOL_SIZE": "2", "DATABASE_MAX_OVERFLOW": "1"}
    with uvicorn("service:app", "--timeout-keep-alive", "600", *options, folder=folder, **variables) as process:
        yield (process, port_of(process))


def each_worker(port: int, number: int, stack: ExitStack) -> dict[int, Worker]:
    """A connection to each of so many workers: the system chooses who accepts one."""
    found: dict[int, Worker] = {}
    for _ in range(3000):
        worker = Worker(stack.enter_context(closing(connected(port))))
        found.setdefault(worker.pid, worker)
        if len(found) == number:
            return found
    raise AssertionError(f"only {len(found)} workers answer")


def asked(samples: Samples) -> float:
    return total(samples, "http_server_request_duration_seconds_count", http_route="/worker")


def test_each_worker_answers_with_the_sum_and_a_killed_one_takes_nothing_with_it(
    settings: Settings, tmp_path: Path
) -> None:
    left_behind, in_use = (tmp_path / "tmp" / f"service-metrics-{name}" for name in ("old", "other"))
    for folder in (left_behind, in_use):
        folder.mkdir(parents=True)
        (folder / "0.lock").touch()
        os.utime(folder, (0, 0))
    with ExitStack() as stack:
        other = stack.enter_context((in_use / "0.lock").open("w"))
        fcntl.flock(other, fcntl.LOCK_EX)
        process, port = stack.enter_context(served(tmp_path, settings, "--workers", "2"))
        process.says(r"(?s)(startup complete.*){2}")
        workers = each_worker(port, 2, stack)
        assert (left_behind.exists(), in_use.exists()) == (False, True)

        requests = sum(int(worker.get("/worker") == str(pid)) for pid, worker in workers.items() for _ in range(5))
        seen = [worker.metrics() for worker in workers.values()]
        assert asked(seen[0]) == asked(seen[1]) >= requests + 2
        assert total(seen[0], "orders_asked_total", kind="any") == asked(seen[0])
        assert total(seen[0], "database_statement_seconds_count") == asked(seen[0])
        assert total(seen[0], "database_pool_places", pool="primary") == 2 * 3
        assert {dict(labels)["worker"] for name, labels in seen[0] if name == "process_cpu_seconds_total"} == {"0", "1"}
        assert total(seen[0], "python_info") == 1

        (victim, hanging), (_, survivor) = workers.items()
        hanging.connection.request("GET", "/held")
        until((tmp_path / "held").exists)
        until(lambda: total(survivor.metrics(), "database_pool_in_use") == 1)
        assert total(survivor.metrics(), "http_server_active_requests") == 2
        before = asked(survivor.metrics())
        supervisor = int(process.says(r"Started parent process \[(\d+)\]")[1])
        os.kill(supervisor, signal.SIGSTOP)  # nobody takes the slot for the time being
        os.kill(victim, signal.SIGKILL)
        until(lambda: total(survivor.metrics(), "http_server_active_requests") == 1)
        assert total(survivor.metrics(), "database_pool_in_use") == 0
        assert asked(survivor.metrics()) == before
        os.kill(supervisor, signal.SIGCONT)
        process.says(r"(?s)(startup complete.*){3}")
        fresh = next(w for pid, w in each_worker(port, 2, stack).items() if pid != survivor.pid)
        seen = [worker.metrics() for worker in (fresh, survivor)]
        assert asked(seen[0]) == asked(seen[1]) > before
        assert total(seen[0], "database_pool_places") == 2 * 3
        (folder,) = set((tmp_path / "tmp").glob("service-metrics-*")) - {in_use}
        assert {file.name for file in folder.glob("*.lock")} == {"0.lock", "1.lock"}
        assert (folder.stat().st_mode & 0o777) == 0o700


def test_one_process_counts_for_itself_and_writes_nothing(settings: Settings, tmp_path: Path) -> None:
    with served(tmp_path, settings) as (_, port), closing(connected(port)) as connection:
        shown = Worker(connection).metrics()
    assert asked(shown) == 1
    assert ("process_cpu_seconds_total", frozenset()) in shown
    assert list((tmp_path / "tmp").iterdir()) == []


# What a worker of a server does first; the service itself is not needed for it.
WORKER = """
import multiprocessing
import sys
import tempfile

def work(folder):
    tempfile.tempdir = folder
    from app.workers import shared_folder

    print(shared_folder(), flush=True)

if __name__ == "__main__":
    worker = multiprocessing.get_context("spawn").Process(target=work, args=sys.argv[1:])
    worker.start()
    worker.join()
"""


def as_worker(folder: Path, temporary: str, **variables: str) -> tuple[str, str]:
    """The folder that a worker shares, and what it says; `temporary` is where the system keeps such."""
    (folder / "worker.py").write_text(WORKER)
    environment = {"PYTHONPATH": str(Path.cwd()), **variables}
    done = subprocess.run(
        [sys.executable, "worker.py", temporary], cwd=folder, env=environment, text=True, capture_output=True
    )
    return done.stdout.strip(), done.stderr.strip()


def test_without_a_folder_to_share_each_worker_says_that_it_shows_its_own_numbers(tmp_path: Path) -> None:
    shared, said = as_worker(tmp_path, "/proc")
    assert shared == "None"
    assert said.startswith("Each worker shows its own numbers at /metrics: name a folder to share in TMPDIR (")
    assert len(said.splitlines()) == 1


def test_a_folder_that_the_operator_names_is_used_as_prometheus_client_uses_it(tmp_path: Path) -> None:
    assert as_worker(tmp_path, "/proc", **{VARIABLE: str(tmp_path)}) == (str(tmp_path), "")
    assert list(tmp_path.glob("*.lock")) == []


def test_a_process_that_a_worker_starts_counts_for_itself(tmp_path: Path) -> None:
    shared = tmp_path / "service-metrics-0123456789abcdef"
    shared.mkdir()
    counting = "import app.main; from app.requests import duration; duration.labels('GET', '/', 200).observe(1)"
    subprocess.run([sys.executable, "-c", counting], env={**os.environ, VARIABLE: str(shared)}, check=True)
    assert list(shared.iterdir()) == []
