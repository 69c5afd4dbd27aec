"""`GET /metrics`: Prometheus text, of the process that answers. Keep it from the public; a proxy can."""

from collections.abc import Iterable
from dataclasses import asdict
from weakref import WeakSet

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response

from app.database import Database

router = APIRouter(tags=["metrics"])


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", response_class=PlainTextResponse)
def metrics() -> Response:  # not async: the process's own measures are read from files, so it belongs into a thread
    return Response(generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})


class PoolCollector(Collector):
    """The status of the process's pools at the time of asking; those of several applications are added up."""

    def __init__(self) -> None:
        self.databases: WeakSet[Database] = WeakSet()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        sums: dict[str, dict[str, int]] = {}
        for database in self.databases:
            for pool, status in database.statuses().items():
                for name, number in asdict(status).items():
                    of_pools = sums.setdefault(name, {})
                    of_pools[pool] = of_pools.get(pool, 0) + number
        for name, of_pools in sums.items():
            gauge = GaugeMetricFamily(f"database_pool_{name}", f"Connection pool: {name}", labels=["pool"])
            for pool, number in of_pools.items():
                gauge.add_metric([pool], number)
            yield gauge


pools = PoolCollector()
REGISTRY.register(pools)
