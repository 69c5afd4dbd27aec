"""The measurements of one driver's candidates: side by side on one server, in turns, several rounds.

A number is the median of the rounds, with the lowest and the highest beside it: what a neighbour on the machine does
for a second then shows as spread, and not as a difference between candidates.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from candidates import Candidate, run_sql
from load import Job, Load
from services import Service, database_url
from worker import OTHER_CORES, Worker, pinned, start

OPENED = {  # how many connections the server has seen, itself included
    "asyncpg": "SELECT pg_stat_clear_snapshot(), sum(sessions) FROM pg_stat_database",
    "aiomysql": "SHOW GLOBAL STATUS LIKE 'Connections'",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How long and how often; `make bench quick=1` takes the small one, to see that everything works.

    `most` bounds how many candidates are started again, for what needs a process of its own.
    """

    rounds: int
    seconds: float
    clients: tuple[int, ...]
    overload_seconds: float
    pool_sizes: tuple[int, ...]
    starts: int
    overloads: tuple[float, ...] = (0.5, 1, 2)
    most: int | None = None


FULL = Scale(3, 1.0, (32, 200, 1000), 3, (1, 2, 5, 10, 20, 40), 2)
QUICK = Scale(1, 0.3, (32,), 0.6, (10,), 1, (2,), 1)


@contextmanager
def running(candidate: Candidate, url: str, **variables: str) -> Iterator[Worker]:
    environment = {**candidate.environment(url), **variables}
    with start(list(candidate.command), candidate.folder, environment, candidate.first_request) as started:
        yield started


def ask(worker: Worker, requests: str, seconds: float, **how: Any) -> tuple[Load, float]:
    """What the load generator saw, and the CPU time that the worker used for each answer, in microseconds."""
    job = Job(worker.port, requests, seconds, **how)
    before = worker.cpu()
    generator = [sys.executable, str(Path(__file__).with_name("load.py"))]
    with pinned(OTHER_CORES):
        done = subprocess.run(
            generator, input=json.dumps(asdict(job)), text=True, stdout=subprocess.PIPE, check=True, timeout=120
        )
    load = Load(**json.loads(done.stdout))
    return load, (worker.cpu() - before) / max(load.total, 1) * 1e6


def spread(values: Sequence[float]) -> list[float]:
    """Median, lowest and highest."""
    return [round(value, 2) for value in (statistics.median(values), min(values), max(values))]


def closed_loop(workers: Mapping[Candidate, Worker], scale: Scale) -> list[Row]:
    """Each kind of work at each number of clients: requests/s, latencies in milliseconds, failures, CPU."""
    rows: list[Row] = []
    for work in ("read", "list", "create", "transfer"):
        able = {candidate: worker for candidate, worker in workers.items() if work in candidate.requests}
        for clients in scale.clients:
            seen: dict[Candidate, list[tuple[Load, float]]] = {candidate: [] for candidate in able}
            for turn in range(scale.rounds):
                for candidate, worker in able.items():
                    salt = turn + 10 * clients
                    how = {"clients": clients, "salt": salt}
                    seen[candidate].append(ask(worker, candidate.requests[work], scale.seconds, **how))
            for candidate, samples in seen.items():
                loads = [load for load, _ in samples]
                row: Row = {
                    "candidate": candidate.name,
                    "work": work,
                    "clients": clients,
                    "per_second": spread([load.succeeded / load.seconds for load in loads]),
                    "p50": spread([load.latency("p50") for load in loads]),
                    "p99": spread([load.latency("p99") for load in loads]),
                    "cpu_us": spread([cpu for _, cpu in samples]),
                    "failed": sum(load.failed for load in loads),
                    "generator_busy": spread([load.cpu / (load.seconds + 0.3) for load in loads])[0],
                }
                rows.append(row)
                print(
                    f"  {work:<9}{clients:>5} clients  {candidate.name:<36}{row['per_second'][0]:>8.0f}/s"
                    f"  p50 {row['p50'][0]:>7.1f}  p99 {row['p99'][0]:>7.1f} ms  {row['cpu_us'][0]:>6.0f} us CPU"
                    f"  {row['failed']} failed",
                    flush=True,
                )
    return rows


def open_loop(workers: Mapping[Candidate, Worker], closed: Sequence[Row], scale: Scale) -> list[Row]:
    """Reads by key at a constant rate, as a share of what the candidate was able to do in the closed loop."""
    rows: list[Row] = []
    able = {candidate: worker for candidate, worker in workers.items() if "read" in candidate.requests}
    for overload in scale.overloads:
        for candidate, worker in able.items():
            measured = [r for r in closed if r["candidate"] == candidate.name and r["work"] == "read"]
            capacity = max(row["per_second"][0] for row in measured)
            load, _ = ask(worker, candidate.requests["read"], scale.overload_seconds, rate=overload * capacity)
            row: Row = {
                "candidate": candidate.name,
                "overload": overload,
                "capacity": round(capacity),
                "goodput": round(load.succeeded / load.seconds),
                "refused": round(load.answers.get("503", 0) / load.seconds),
                "other": load.failed - load.answers.get("503", 0),
                "p50": round(load.latency("p50"), 1),
                "p99": round(load.latency("p99"), 1),
            }
            rows.append(row)
            print(
                f"  read at {overload:g} x {capacity:.0f}/s  {candidate.name:<36}{row['goodput']:>8}/s  "
                f"{row['refused']:>6}/s refused  p99 {row['p99']:>8.1f} ms  {row['other']} other",
                flush=True,
            )
    return rows


def processes(
    candidates: Sequence[Candidate], urls: Mapping[Candidate, str], helper: Service, scale: Scale
) -> list[Row]:
    """Start-up in seconds, memory in MiB when idle and after load, connections that 200 clients had opened."""
    rows: list[Row] = []
    for candidate in candidates:
        starts, idle, loaded, opened = [], [], [], []
        for _ in range(scale.starts):
            url = urls[candidate]
            with running(candidate, url) as worker:
                starts.append(worker.start_up)
                idle.append(worker.memory())
                before = connections(helper, candidate.driver, url)
                ask(worker, candidate.requests["list"], 2 * scale.seconds, clients=200)
                loaded.append(worker.memory())
                opened.append(connections(helper, candidate.driver, url) - before - 1)
        row: Row = {
            "candidate": candidate.name,
            "start_up": spread(starts),
            "memory_idle": spread(idle),
            "memory_loaded": spread(loaded),
            "opened": spread(opened),
        }
        rows.append(row)
        print(
            f"  {candidate.name:<36}{row['start_up'][0]:>6.2f} s  {row['memory_idle'][0]:>6.0f} MiB, "
            f"{row['memory_loaded'][0]:.0f} after load  {row['opened'][0]:.0f} connections opened",
            flush=True,
        )
    return rows


def connections(helper: Service, driver: str, url: str) -> int:
    """How many connections the server has seen so far."""
    return int("".join(c for c in run_sql(helper, url, OPENED[driver]).rpartition(",")[2] if c.isdigit()))


def pool_sweep(candidates: Sequence[Candidate], urls: Mapping[Candidate, str], scale: Scale) -> list[Row]:
    """Reads and creates of 200 clients on pools of several sizes, without overflow."""
    rows: list[Row] = []
    for size in scale.pool_sizes:
        pool = {"DATABASE_POOL_SIZE": str(size), "DATABASE_MAX_OVERFLOW": "0"}
        with ExitStack() as stack:
            workers = {c: stack.enter_context(running(c, urls[c], **pool)) for c in candidates}
            for work in ("read", "create"):
                seen: dict[Candidate, list[Load]] = {candidate: [] for candidate in workers}
                for turn in range(scale.rounds):
                    for candidate, worker in workers.items():
                        salt = 100_000 + 10 * size + turn
                        load, _ = ask(worker, work, scale.seconds, clients=200, salt=salt)
                        seen[candidate].append(load)
                for candidate, loads in seen.items():
                    row: Row = {
                        "candidate": candidate.name,
                        "work": work,
                        "pool_size": size,
                        "per_second": spread([load.succeeded / load.seconds for load in loads]),
                        "p50": spread([load.latency("p50") for load in loads]),
                        "p99": spread([load.latency("p99") for load in loads]),
                    }
                    rows.append(row)
                    print(
                        f"  pool of {size:>3}  {work:<7}{candidate.name:<36}{row['per_second'][0]:>8.0f}/s"
                        f"  p99 {row['p99'][0]:>7.1f} ms",
                        flush=True,
                    )
    return rows


def profiles(candidates: Sequence[Candidate], urls: Mapping[Candidate, str], scale: Scale) -> list[Row]:
    """Whose CPU time a read by key is, in microseconds, by a sampling profiler, which is part of the total."""
    rows: list[Row] = []
    for candidate in candidates:
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "samples.json"
            python = Path(candidate.command[0]).with_name("python")
            command = (str(python), str(Path(__file__).with_name("sampled.py")), str(result), *candidate.command[1:])
            with running(replace(candidate, command=command), urls[candidate]) as worker:
                ask(worker, "read", scale.seconds, clients=32)  # warm
                _, cpu = ask(worker, "read", 3 * scale.seconds, clients=32, salt=1)
            samples = Counter(json.loads(result.read_text("utf-8")))
        parts = {owner: round(cpu * count / samples.total(), 1) for owner, count in samples.most_common()}
        rows.append({"candidate": candidate.name, "cpu_us": round(cpu, 1), "parts": parts})
        shown = ", ".join(f"{owner} {part:.0f}" for owner, part in parts.items())
        print(f"  {candidate.name:<36}{cpu:>6.0f} us: {shown}", flush=True)
    return rows


def measure(candidates: Sequence[Candidate], helper: Service, server: str, scale: Scale) -> dict[str, list[Row]]:
    """All measurements of one driver's candidates on one server."""
    urls = {candidate: database_url(server, candidate.database) for candidate in candidates}
    with ThreadPoolExecutor(len(OTHER_CORES) + 1) as threads:
        list(threads.map(lambda candidate: candidate.prepare(urls[candidate]), candidates))
    with ExitStack() as stack:
        workers = {candidate: stack.enter_context(running(candidate, urls[candidate])) for candidate in candidates}
        closed = closed_loop(workers, scale)
        opened = open_loop(workers, closed, scale)
    return {
        "closed_loop": closed,
        "open_loop": opened,
        "processes": processes(candidates[: scale.most], urls, helper, scale),
        "pool_sweep": pool_sweep([c for c in candidates if c.group in ("orm", "databases")], urls, scale),
        "profiles": profiles([c for c in candidates if "read" in c.requests][: scale.most], urls, scale),
    }
