"""`GET /metrics`: Prometheus text, of the process that answers. Keep it from the public; a proxy can."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.responses import Response

router = APIRouter(tags=["metrics"])


@router.get("/metrics")
def metrics() -> Response:  # not async: the process's own measures are read from files, so it belongs into a thread
    return Response(generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})
