"""A collector of traces: an OTLP receiver over HTTP, which keeps what it was sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Span:
    """One span, as the collector sees it."""

    def __init__(self, span: Any, resource: dict[str, Any]) -> None:
        self.name: str = span.name
        self.trace, self.id, self.parent = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
        self.attributes, self.resource = _attributes(span.attributes), resource
        self.failed = span.status.code == 2
        self.texts = [span.status.message, *(str(event) for event in span.events)]


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class Collector:
    """`bodies` are the bytes that came, of whatever path; while it is `silent` nobody gets an answer."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.silent = False
        self.leave = threading.Event()
        self.url = ""

    @contextmanager
    def listen(self) -> Iterator["Collector"]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.silent:
                    collector.leave.wait()
                    return
                collector.bodies.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield self
            finally:
                self.leave.set()
                server.shutdown()
                thread.join()

    @property
    def spans(self) -> list[Span]:
        return [
            Span(span, _attributes(of_process.resource.attributes))
            for body in self.bodies
            for of_process in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in of_process.scope_spans
            for span in scope.spans
        ]
