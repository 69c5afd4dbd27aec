"""OpenTelemetry's SDK, which app/traces.py loads when the environment asks for traces: batches of spans leave in a
thread of their own. A collector that is away costs spans, and two lines in the log: one when it goes, one when it is
back.
"""

import logging
import os
from collections.abc import Sequence
from importlib.metadata import entry_points

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

logger = logging.getLogger(__name__)

_BY_PROTOCOL = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


def provider(service: str) -> TracerProvider:
    """As the environment wants it. Raises ModuleNotFoundError, ValueError."""
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: service}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(WithoutQuery())
    for name in (os.environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        provider.add_span_processor(BatchSpanProcessor(Telling(_exporter(name.strip()))))
    theirs = logging.getLogger("opentelemetry.exporter")
    if theirs.level == logging.NOTSET:  # else a line for each attempt to send a batch, where `Telling` has two for all
        theirs.setLevel(logging.CRITICAL)
    return provider


def _exporter(name: str) -> SpanExporter:
    """https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#exporter-selection"""
    if name == "otlp":
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        name = _BY_PROTOCOL.get(protocol or "http/protobuf", f"otlp of the protocol {protocol}")
    for entry in entry_points(group="opentelemetry_traces_exporter", name=name):
        exporter: SpanExporter = entry.load()()
        return exporter
    raise ValueError(f"no exporter {name} is installed: OTEL_TRACES_EXPORTER=otlp by http/protobuf is")


class WithoutQuery(SpanProcessor):
    """Of a request's query the names stay: in its values are e-mail addresses, and now and then a token."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        query = (span.attributes or {}).get("url.query")
        if isinstance(query, str):
            span.set_attribute("url.query", "&".join(f"{part.partition('=')[0]}=…" for part in query.split("&")))


class Telling(SpanExporter):
    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._arriving = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        arriving = result is SpanExportResult.SUCCESS
        if arriving is not self._arriving:
            self._arriving = arriving
            if arriving:
                logger.info("Traces arrive again")
            else:
                logger.warning(
                    "Traces do not arrive, and are lost until they do: is the collector there, at the address of "
                    "OTEL_EXPORTER_OTLP_ENDPOINT? LOG_LEVEL=INFO,opentelemetry.exporter=DEBUG says more"
                )
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
