"""Spans by OpenTelemetry's conventions: one for each unit of work, from its first statement on, and in it one for the
wait, for each statement, BEGIN, COMMIT and ROLLBACK.

No value is in them: of a statement its text with `?` for each literal, of an error its kind and its code. Where nobody
has configured OpenTelemetry there is no span, and nothing is done for one.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from app.database.error_codes import code_of
from app.database.statements import described
from app.database.target import Target

SCHEMA = "https://opentelemetry.io/schemas/1.33.0"  # the first with stable names for databases
_NOTHING: AbstractContextManager[None] = nullcontext()


class Spans:
    """Those of one server. `dialect` is SQLAlchemy's, which knows what kind of server it is once one was asked."""

    def __init__(self, tracer: Tracer, target: Target, dialect: Any) -> None:
        self.tracer, self._dialect = tracer, dialect
        self._where: dict[str, str | int] = {"db.namespace": target.database}
        if target.socket:
            self._where["server.address"] = target.socket
        elif len(target.hosts) == 1:  # which of several it is, nobody says
            self._where["server.address"], self._where["server.port"] = target.hosts[0]

    def unit(self, level: str | None, attempt: int, *, whole: bool) -> "UnitSpans | None":
        """Those of a unit of work, which has an isolation level when it is a transaction, and an attempt when it may be
        run again; None when the trace that it belongs to is not sampled.
        """
        outer = trace.get_current_span()
        context = outer.get_span_context()
        if context.is_valid and not context.trace_flags.sampled:
            return None
        attributes: dict[str, str | int] = {"app.unit.attempt": attempt} if attempt else {}
        if level:
            attributes["app.unit.isolation_level"] = level
        return UnitSpans(self, outer, "transaction" if level else "read", whole, attributes)

    def server(self) -> dict[str, str | int]:
        system = "mariadb" if getattr(self._dialect, "is_mariadb", False) else self._dialect.name
        return {"db.system.name": system, **self._where}


class UnitSpans:
    """Those of one unit. One that is not `whole`, a WebSocket's, may live for hours: it has no span of its own."""

    def __init__(self, server: Spans, outer: Span, name: str, whole: bool, attributes: dict[str, str | int]) -> None:
        self._server, self._outer, self._name = server, outer, name
        self._whole, self._attributes = whole, attributes
        self._span: Span | None = None

    def begin(self, server: Spans | None) -> None:
        """With the unit's first statement: a session without one costs nothing and has no span. At each one, since the
        server may be another one.
        """
        self._server = server or self._server
        if self._span is None and self._whole:
            context = trace.set_span_in_context(self._outer)
            self._span = self._server.tracer.start_span(self._name, context, attributes=self._attributes)

    def start(self, name: str, kind: SpanKind, attributes: dict[str, str | int]) -> "Step":
        """A span inside the unit's, or inside one that the service has begun within the unit."""
        current = trace.get_current_span()
        parent = self._span if self._span is not None and current is self._outer else current
        context = trace.set_span_in_context(parent)
        return Step(self._server.tracer.start_span(name, context, kind, attributes))

    def end(self, error: BaseException | None) -> None:
        if self._span is not None:
            Step(self._span).__exit__(None, error, None)

    def query(self, name: str, summary: str, text: str | None) -> "Step":
        about = {**self._server.server(), "db.operation.name": name, "db.query.summary": summary}
        return self.start(summary, SpanKind.CLIENT, about if text is None else {**about, "db.query.text": text})


class Step:
    """A span that ends with its block, in words that hold no value: not by `record_exception`."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        # A 404 that a route raises ends its unit, too, and is no error of anybody's.
        if error is not None and getattr(error, "status_code", 500) >= 500:
            self._span.set_attribute("error.type", type(error).__name__)
            if (code := code_of(error)) is not None:
                self._span.set_attribute("db.response.status_code", code)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def spans_of(target: Target, dialect: Any) -> Spans | None:
    """None where OpenTelemetry's SDK is not at work."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return Spans(provider.get_tracer("app.database", schema_url=SCHEMA), target, dialect)


def statement(spans: UnitSpans | None, text: str) -> AbstractContextManager[None]:
    """The span of a statement, or of BEGIN, COMMIT or ROLLBACK."""
    return _NOTHING if spans is None else spans.query(*described(text))


def wait(spans: UnitSpans | None) -> AbstractContextManager[None]:
    """The span of the wait for a place in the pool, and of the opening of a connection."""
    return _NOTHING if spans is None else spans.start("wait for a connection", SpanKind.INTERNAL, {})
