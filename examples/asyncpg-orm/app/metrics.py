"""`GET /metrics`: Prometheus text, the sum of the server's workers. Keep it from the public; a proxy can.

docs/metrics.md lists what it shows.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import fields
from functools import partial
from weakref import WeakSet

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Gauge, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response

from app.database import Database
from app.database.metrics import Status
from app.requests import RequestsMiddleware
from app.workers import living, shared_folder

PUBLISHED_EVERY = 1.0  # seconds: so old may be what is shown of another worker's pool

router = APIRouter(tags=["metrics"])
databases: WeakSet[Database] = WeakSet()

_active = Gauge("http_server_active_requests", "Requests in flight", multiprocess_mode="livesum")
_pools = {
    field.name: Gauge(
        f"database_pool_{field.name}", f"Connection pool: {field.name}", ["pool"], multiprocess_mode="livesum"
    )
    for field in fields(Status)
}
_shown: set[str] = set()


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", response_class=PlainTextResponse)
def metrics() -> Response:  # not async: the process's own measures are read from files, so it belongs into a thread
    publish()
    shown = _Workers() if shared_folder() else REGISTRY
    return Response(generate_latest(shown), headers={"Content-Type": CONTENT_TYPE_LATEST})


def publish() -> None:
    """Write down the state of this process; what applications of one process have of a kind is added up."""
    _active.set(RequestsMiddleware.active)
    statuses = [each for database in list(databases) for each in database.statuses().items()]
    _shown.update(pool for pool, _ in statuses)
    for name, gauge in _pools.items():
        for shown in _shown:
            gauge.labels(shown).set(sum(getattr(status, name) for pool, status in statuses if pool == shown))


@asynccontextmanager
async def watched(database: Database) -> AsyncIterator[None]:
    """Let the pools of `database` be shown, by the other workers too."""
    databases.add(database)
    publishing = asyncio.create_task(_publish_now_and_then()) if shared_folder() else None
    try:
        yield
    finally:
        databases.discard(database)
        if publishing:
            publishing.cancel()
            await asyncio.wait([publishing])


async def _publish_now_and_then() -> None:
    while True:
        publish()
        await asyncio.sleep(PUBLISHED_EVERY)


class _Workers(Collector):
    """All that the workers counted together, and what they cannot: each one's memory, CPU and files, by its slot."""

    def collect(self) -> Iterable[Metric]:
        processes = list(living())
        of_all = MultiProcessCollector(None, shared_folder())  # type: ignore[no-untyped-call]
        summed = {m.name: m for m in of_all.collect()}  # type: ignore[no-untyped-call]
        yield from summed.values()
        for metric in REGISTRY.collect():  # a team's own collectors, which are no worker's
            if metric.name not in summed and not metric.name.startswith(("process_", "python_gc_")):
                yield metric
        yield from _of_processes(processes)


def _of_processes(processes: Iterable[tuple[int, int]]) -> Iterable[Metric]:
    found: dict[str, Metric] = {}
    for slot, process in processes:
        for metric in ProcessCollector(registry=None, pid=partial(int, process)).collect():
            known = found.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for sample in metric.samples:
                known.add_sample(sample.name, {"worker": str(slot)}, sample.value)
    return found.values()
