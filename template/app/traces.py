"""Traces, on by OpenTelemetry's standard variables: OTEL_EXPORTER_OTLP_ENDPOINT says where to, and the others
(OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ...) are the SDK's own. Without them nothing of it is loaded.

The spans of requests are FastAPI's, those of the database app/database/tracing.py makes. docs/observability.md.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from threading import Thread
from typing import Any

from anyio.to_thread import run_sync
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace

from app.overload import is_always_served

logger = logging.getLogger(__name__)

FLUSH_WITHIN = 3.0  # seconds, at the end of the process


OF_REQUESTS: TelemetryConfig = {
    "auto_configure": False,  # it waits for a collector that is away for as long as that takes
    "exclude": is_always_served,
    "logs": False,  # they carry the texts of exceptions, and so values
    "operation_spans": False,  # three more for each request, of what takes microseconds
}


@asynccontextmanager
async def sending_traces(service: str) -> AsyncIterator[None]:
    """While it lasts, spans are sent where the environment says, by the name of the `service` unless that has another.

    A provider that is there already, an agent's or a team's own, is left alone.
    """
    provider = _begin(service) if _are_wanted() else None
    yield
    if provider is not None:
        # A thread that the process does not wait for, since the collector may be gone. The provider stays: there can be
        # no other in this process.
        flushing = Thread(target=provider.force_flush, daemon=True)
        flushing.start()
        await run_sync(flushing.join, FLUSH_WITHIN)


def _are_wanted() -> bool:
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "")
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return bool(endpoint or exporter) and exporter != "none" and not disabled


_ours: list[Any] = []


def _begin(service: str) -> Any:
    """The provider, where it is ours. What cannot be done is a line in the log: the service serves without traces."""
    if not _ours and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        try:
            _ours.append(import_module("app.exporting").provider(service))
        except ModuleNotFoundError as error:
            logger.warning("The environment asks for traces, but %s is not installed: uv sync --group otel", error.name)
        except Exception as error:
            logger.warning("The environment asks for traces that cannot be sent: %s", error)
        else:
            trace.set_tracer_provider(_ours[0])
    return _ours[0] if _ours else None
