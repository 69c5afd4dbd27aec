"""What a unit of work tells OpenTelemetry, in this process and without a request; test_traces.py has all of the way."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from sqlalchemy import insert, literal, select, text

from app.database import Database, Deadlock, PoolTimeout, Session, UniqueViolation
from app.database.tracing import spans_of
from app.settings import Settings
from tests.probes import probe, probes
from tests.statements import run, savepoint, value

Databases = Callable[..., Database]
ONE = select(literal(1))


class Told:
    """The spans that have ended, in this order."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def only(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def inside(self, name: str) -> list[str]:
        """The names of those that have this one for their parent."""
        outer = self.only(name).context
        return [span.name for span in self.spans if span.parent and outer and span.parent.span_id == outer.span_id]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return Told(exporter)


async def test_a_transaction_has_the_wait_and_all_that_it_sends_inside(told: Told, probe_database: Databases) -> None:
    async with probe_database().transaction(isolation_level="SERIALIZABLE") as session:
        await run(session, insert(probes).values(probe(1)))
    assert told.inside("transaction") == ["wait for a connection", "BEGIN", "INSERT probes", "COMMIT"]
    assert told.only("transaction").attributes == {"app.unit.isolation_level": "SERIALIZABLE"}
    assert told.spans[-1].name == "transaction"


async def test_a_read_has_no_transaction_and_a_savepoint_is_a_statement(told: Told, probe_database: Databases) -> None:
    database = probe_database()
    async with database.read() as session:
        await value(session, ONE)
    assert told.inside("read") == ["wait for a connection", "SELECT"]
    async with database.transaction() as session, savepoint(session):
        await value(session, ONE)
    names = [name.split()[0] for name in told.inside("transaction")]
    assert names == ["wait", "BEGIN", "SAVEPOINT", "SELECT", "RELEASE", "COMMIT"]


async def test_each_attempt_is_a_unit_with_its_number(told: Told, probe_database: Databases) -> None:
    left: list[Exception] = [Deadlock()]

    async def work(session: Session) -> None:
        await value(session, ONE)
        if left:
            raise left.pop()

    await probe_database().run_transaction(work)
    units = [span.attributes for span in told.spans if span.name == "transaction" and span.attributes]
    assert [unit["app.unit.attempt"] for unit in units] == [1, 2]


async def test_what_is_not_asked_or_not_sampled_has_no_span(told: Told, probe_database: Databases) -> None:
    database = probe_database()
    async with database.transaction():
        pass
    unsampled = NonRecordingSpan(SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(0)))
    with trace.use_span(unsampled):
        async with database.read() as session:
            await value(session, ONE)
    assert told.spans == []


async def test_a_unit_that_keeps_no_connection_has_no_span_of_its_own(told: Told, probe_database: Databases) -> None:
    async with probe_database().of_request(brief=True) as session:
        await value(session, ONE)
        await value(session, ONE)
    assert [span.name for span in told.spans][-3:] == ["SELECT", "wait for a connection", "SELECT"]
    assert not [span for span in told.spans if span.parent]


async def test_an_error_has_its_kind_and_the_servers_code(told: Told, probe_database: Databases) -> None:
    with pytest.raises(UniqueViolation):
        async with probe_database().transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            await run(session, insert(probes).values(probe(1)))
    failed = [span for span in told.spans if not span.status.is_unset]
    assert [span.name for span in failed] == ["INSERT probes", "transaction"]
    for span in failed:
        assert span.attributes is not None
        assert span.attributes["error.type"] == "UniqueViolation"
        assert span.attributes["db.response.status_code"] in ("23505", "1062")
        assert not span.events
        assert span.status.description is None


async def test_a_wait_in_vain_is_seen(told: Told, probe_database: Databases) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_timeout=1)
    async with database.read() as holder:
        await value(holder, ONE)

        async def other() -> None:
            async with database.read() as session:
                await value(session, ONE)

        with pytest.raises(PoolTimeout):
            await asyncio.create_task(other())
    waits = [span for span in told.spans if span.name == "wait for a connection"]
    assert [span.status.is_unset for span in waits] == [True, False]


async def test_the_statements_of_several_words_are_named_without_values(told: Told, probe_database: Databases) -> None:
    async with probe_database().read() as session:
        await value(session, text("SELECT count(*) FROM probes WHERE name = 's3cret'"))
    about: Any = told.only("SELECT probes").attributes
    assert about["db.query.text"] == "SELECT count(*) FROM probes WHERE name = ?"
    assert "s3cret" not in str(about)


@pytest.mark.parametrize(
    ("hosts", "socket", "where"),
    [
        ((("db", 1),), None, {"server.address": "db", "server.port": 1}),
        ((("db", 1), ("other", 2)), None, {}),
        ((), "/run/db.sock", {"server.address": "/run/db.sock"}),
    ],
)
def test_of_several_servers_none_is_named(
    hosts: Any, socket: str, where: dict[str, Any], told: Told, settings: Settings
) -> None:
    target = replace(settings.database.target, hosts=hosts, socket=socket)

    class Dialect:
        name, is_mariadb = "mysql", True

    spans = spans_of(target, Dialect)
    assert spans is not None
    assert spans.server() == {"db.system.name": "mariadb", "db.namespace": target.database, **where}
