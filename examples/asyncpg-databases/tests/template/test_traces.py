"""Traces, over real HTTP and by a real protocol: each request is one, with what it does in the database, and no value
of a row and no secret is in any byte of it.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry import trace

from app import traces
from app.database.statements import described
from app.database.tracing import spans_of
from app.settings import SERVICE_NAME, Settings
from tests.processes import Process, port_of, prepare
from tests.proxy import reserved_port
from tests.statements import sqlalchemy_engine
from tests.template.collector import Collector, Span
from tests.template.test_start import connected, uvicorn

prepare()

SERVICE = """
import os
import sys

from fastapi import HTTPException
from opentelemetry import trace
from sqlalchemy import func, insert, select, text

from app import traces
from app.database import CurrentDatabase, Deadlock, ReadSession, WriteSession
from app.main import create_app
from tests.probes import probe, probes

traces.FLUSH_WITHIN = float(os.environ.get("FLUSH_WITHIN", 30))
app = create_app()


@app.post("/probes/{id}")
async def create(id: int, name: str, session: WriteSession) -> None:
    await session.execute(insert(probes).values(probe(id, name=name)))


@app.get("/probes")
async def count(session: ReadSession) -> int:
    counted = await session.fetch_val(text("SELECT count(*) FROM probes WHERE name <> 's3cret' AND value < 4711"))
    with trace.get_tracer("team").start_as_current_span("price"):
        await session.fetch_all(select(func.count()).select_from(probes))
    return counted


@app.get("/nothing")
async def nothing(session: WriteSession) -> bool:
    return "opentelemetry.sdk" in sys.modules


@app.get("/refused/{id}")
async def refused(id: int, session: WriteSession) -> None:
    await session.fetch_val(select(func.count()).select_from(probes))
    raise HTTPException(404)


@app.get("/crash")
async def crash(session: ReadSession) -> None:
    await session.fetch_val(select(1))
    raise RuntimeError("s3cret")


@app.post("/again")
async def again(database: CurrentDatabase) -> None:
    left = [Deadlock()]

    async def work(session):
        await session.fetch_val(select(1))
        if left:
            raise left.pop()

    await database.run_transaction(work, isolation_level="SERIALIZABLE")
"""
SECRET = "s3cret"
PARENT = "00f067aa0ba902b7"


class Answer(NamedTuple):
    status: int
    body: Any


class Served:
    """The service above, and a trace for each of its requests."""

    def __init__(self, process: Process) -> None:
        self._port = port_of(process)
        self._number = 0

    def ask(self, method: str, path: str, trace: str | None = None, *, sampled: bool = True) -> Answer:
        with closing(connected(self._port)) as connection:
            headers = {"traceparent": f"00-{trace}-{PARENT}-0{sampled:d}"} if trace else {}
            connection.request(method, path, headers={"X-Request-ID": trace or "none", **headers})
            response = connection.getresponse()
            body = response.read()
        return Answer(response.status, json.loads(body) if body else None)


def serve(settings: Settings, folder: Path, *arguments: str, text: str = "", **more: str) -> Process:
    (folder / "traced_service.py").write_text(SERVICE + text)
    variables = {
        "DATABASE_URL": settings.database.url.get_secret_value(),
        "DATABASE_EXTERNAL_POOLER": str(settings.database.external_pooler),
        "PYTHONWARNINGS": "default",
    }
    return uvicorn("traced_service:app", *arguments, folder=folder, **variables, **more)


REQUESTS = {  # by their trace
    "created": ("POST", f"/probes/1?name={SECRET}"),
    "duplicate": ("POST", f"/probes/2?name={SECRET}"),
    "invalid": ("POST", f"/probes/{SECRET}?name=x"),
    "read": ("GET", f"/probes?token={SECRET}&x"),
    "without": ("GET", "/nothing"),
    "refused": ("GET", "/refused/7"),
    "crash": ("GET", "/crash"),
    "again": ("POST", "/again"),
    "health": ("GET", "/health/ready"),
}
TRACES = {name: f"{number:032x}" for number, name in enumerate([*REQUESTS, "unsampled"], 1)}


class Seen(NamedTuple):
    answers: dict[str, Answer]
    spans: list[Span]
    bytes: bytes
    log: str

    def of(self, name: str) -> list[Span]:
        """The spans of a request."""
        return [span for span in self.spans if span.trace == TRACES[name]]

    def only(self, name: str, span: str) -> Span:
        (found,) = [each for each in self.of(name) if each.name == span]
        return found


@pytest.fixture(scope="module")
def seen(settings: Settings, tables: None, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What the service has answered, sent and written, from its start to its end."""
    folder = tmp_path_factory.mktemp("traced")
    with Collector().listen() as collector:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_RESOURCE_ATTRIBUTES": "team=orders"}
        with serve(settings, folder, **variables) as process:
            served = Served(process)
            answers = {name: served.ask(*request, TRACES[name]) for name, request in REQUESTS.items()}
            answers["unsampled"] = served.ask("GET", "/probes", TRACES["unsampled"], sampled=False)
            process.terminate()
            process.exit_code()
            return Seen(answers, collector.spans, b"".join(collector.bodies), process.output)


@pytest.fixture(scope="module")
def tables(settings: Settings) -> Iterator[None]:
    """The probes, empty, for tests that are not asynchronous."""
    from tests.probes import metadata, probes

    async def do(*statements: Any) -> None:
        engine = sqlalchemy_engine(settings.database)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
            for statement in statements:
                await connection.execute(statement)
        await engine.dispose()

    asyncio.run(do(probes.delete()))
    yield
    asyncio.run(do(probes.delete()))


def test_a_request_is_one_trace_with_its_unit_of_work_its_statements_and_their_commit(seen: Seen) -> None:
    assert seen.answers["created"].status == 200
    request = seen.only("created", "POST /probes/{id}")
    assert request.parent == PARENT
    unit = seen.only("created", "transaction")
    assert unit.parent == request.id
    assert unit.attributes == {"app.unit.isolation_level": "READ COMMITTED"}
    inside = {span.name for span in seen.of("created") if span.parent == unit.id}
    assert inside == {"wait for a connection", "BEGIN", "INSERT probes", "COMMIT"}
    assert len(seen.of("created")) == 6
    assert not any(span.failed for span in seen.of("created"))


def test_a_statement_is_described_by_the_conventions_for_databases(settings: Settings, seen: Seen) -> None:
    insert = seen.only("created", "INSERT probes").attributes
    target = settings.database.target
    assert insert.pop("db.query.text").startswith("INSERT INTO probes (id, name, value, ")
    assert insert.pop("db.system.name") in ("postgresql", "mysql", "mariadb")
    where: dict[str, Any] = {"server.address": target.socket}
    if target.hosts:  # of several nobody says which it is
        ((host, port), *others) = target.hosts
        where = {} if others else {"server.address": host, "server.port": port}
    assert insert == {
        "db.namespace": target.database,
        "db.operation.name": "INSERT",
        "db.query.summary": "INSERT probes",
        **where,
    }


def test_a_read_has_its_statements_and_those_within_the_services_own_spans(seen: Seen) -> None:
    unit, team = seen.only("read", "read"), seen.only("read", "price")
    first, second = [span for span in seen.of("read") if span.name == "SELECT probes"]
    assert {first.parent, second.parent} == {unit.id, team.id}
    texts = {span.parent: span.attributes["db.query.text"] for span in (first, second)}
    assert texts[unit.id] == "SELECT count(*) FROM probes WHERE name <> ? AND value < ?"


def test_what_fails_has_the_kind_and_the_servers_code_of_its_error(seen: Seen) -> None:
    assert seen.answers["duplicate"].status == 409
    insert, unit = (seen.only("duplicate", "INSERT probes"), seen.only("duplicate", "transaction"))
    for span in (insert, unit):
        assert span.failed
        assert span.attributes["error.type"] == "UniqueViolation"
        assert span.attributes["db.response.status_code"] in ("23505", "1062")
    assert not seen.only("duplicate", "ROLLBACK").failed
    assert "COMMIT" not in {span.name for span in seen.of("duplicate")}
    assert not seen.only("duplicate", "POST /probes/{id}").failed  # it is the client's


def test_an_error_of_the_service_is_one_of_its_request(seen: Seen) -> None:
    assert seen.answers["crash"].status == 500
    request = seen.only("crash", "GET /crash")
    assert request.failed
    assert request.attributes["error.type"] == "500"


def test_a_unit_that_ends_with_a_404_has_not_failed(seen: Seen) -> None:
    assert seen.answers["refused"].status == 404
    assert {span.name for span in seen.of("refused")} >= {"transaction", "ROLLBACK"}
    assert not any(span.failed for span in seen.of("refused"))


def test_each_attempt_of_a_transaction_is_a_unit_with_its_number(seen: Seen) -> None:
    assert seen.answers["again"].status == 200
    units = [span for span in seen.of("again") if span.name == "transaction"]
    assert [unit.attributes["app.unit.attempt"] for unit in units] == [1, 2]
    assert [unit.failed for unit in units] == [True, False]
    assert {unit.attributes["app.unit.isolation_level"] for unit in units} == {"SERIALIZABLE"}


def test_a_session_without_a_statement_has_no_span_nor_has_what_a_client_may_not_see(seen: Seen) -> None:
    assert (seen.answers["invalid"].status, seen.answers["without"].status) == (422, 200)
    assert [span.name for span in seen.of("invalid")] == ["POST /probes/{id}"]
    assert [span.name for span in seen.of("without")] == ["GET /nothing"]


def test_probes_of_health_and_requests_that_are_not_sampled_are_not_traced(seen: Seen) -> None:
    assert (seen.answers["health"].status, seen.answers["unsampled"].status) == (200, 200)
    assert seen.of("health") == seen.of("unsampled") == []


def test_no_value_and_no_secret_is_in_any_byte_that_was_sent(settings: Settings, seen: Seen) -> None:
    assert seen.only("created", "POST /probes/{id}").attributes["url.query"] == "name=…"
    assert seen.only("read", "GET /probes").attributes["url.query"] == "token=…&x=…"
    assert not any(text for span in seen.spans for text in span.texts)
    sent = seen.bytes.replace(f"/probes/{SECRET}".encode(), b"")  # a path stays: a service has no secrets in its own
    assert sent
    assert SECRET.encode() not in sent
    assert b"4711" not in sent
    if password := settings.database.target.password:
        assert password.encode() not in sent.replace(settings.database.target.database.encode(), b"")


def test_all_that_was_made_arrives_before_the_process_ends_by_the_name_of_the_service(seen: Seen) -> None:
    requests = [span for span in seen.spans if "url.path" in span.attributes]
    assert len(requests) == len(REQUESTS) - 1
    assert {span.resource["service.name"] for span in seen.spans} == {SERVICE_NAME}
    assert {span.resource["team"] for span in seen.spans} == {"orders"}


def test_each_of_several_workers_sends_what_it_has_made(settings: Settings, tmp_path: Path) -> None:
    with Collector().listen() as collector:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "orders"}
        with serve(settings, tmp_path, "--workers", "2", **variables) as process:
            served = Served(process)
            for number in range(20):
                assert served.ask("GET", "/nothing", f"{number + 1:032x}").status == 200
            process.terminate()
            process.exit_code()
    assert {span.trace for span in collector.spans} == {f"{number + 1:032x}" for number in range(20)}
    assert {span.resource["service.name"] for span in collector.spans} == {"orders"}


def test_traces_go_to_each_exporter_of_a_list(settings: Settings, tmp_path: Path) -> None:
    with Collector().listen() as collector:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_EXPORTER": "console, otlp"}
        with serve(settings, tmp_path, **variables) as process:
            assert Served(process).ask("GET", "/nothing", f"{1:032x}").status == 200
            process.terminate()
            process.exit_code()
    assert {span.trace for span in collector.spans} == {f"{1:032x}"}
    assert f'"trace_id": "0x{1:032x}"' in process.output


def test_the_trace_stands_in_lines_and_in_problems(seen: Seen) -> None:
    assert seen.answers["duplicate"].body["trace_id"] == TRACES["duplicate"]
    assert seen.answers["crash"].body["trace_id"] == TRACES["crash"]
    records = [json.loads(line) for line in seen.log.splitlines() if line.startswith("{")]
    of_crash = [record for record in records if record.get("request_id") == TRACES["crash"]]
    assert {record["name"] for record in of_crash} == {"app.requests", "uvicorn.error"}
    assert {record["trace_id"] for record in of_crash} == {TRACES["crash"]}
    assert not [record for record in records if "request_id" not in record and "trace_id" in record]


@pytest.mark.parametrize("silent", [True, False])
def test_a_collector_that_is_away_costs_one_line_and_does_not_keep_the_process(
    silent: bool, settings: Settings, tables: None, tmp_path: Path
) -> None:
    collector = Collector()
    collector.silent = True
    with collector.listen(), reserved_port() as nobody:
        there = collector.url if silent else f"http://127.0.0.1:{nobody.getsockname()[1]}"
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": there,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3600" if silent else "0.1",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            "FLUSH_WITHIN": "0.1",
        }
        with serve(settings, tmp_path, **variables) as process:
            served = Served(process)
            assert served.ask("GET", "/nothing").status == 200
            if not silent:
                process.says("Traces do not arrive")
            for _ in range(5):
                assert served.ask("GET", "/probes").status == 200
            process.terminate()
            process.exit_code()
    assert process.output.count("Traces do not arrive") == (not silent)
    assert "opentelemetry" not in process.output.replace("opentelemetry.exporter=DEBUG", "")
    assert "Traceback" not in process.output


def test_without_the_sdk_one_sentence_says_what_to_install(settings: Settings, tmp_path: Path) -> None:
    missing = "\nsys.modules['opentelemetry.sdk'] = None\n"
    with serve(settings, tmp_path, text=missing, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as process:
        assert Served(process).ask("GET", "/health/live").status == 200
    (line,) = [json.loads(line) for line in process.output.splitlines() if "otel" in line]
    assert line["level"] == "WARNING"
    assert line["message"].startswith("The environment asks for traces, but opentelemetry.sdk")
    assert line["message"].endswith("is not installed: uv sync --group otel")


def test_without_the_variables_nothing_is_loaded(settings: Settings, tmp_path: Path) -> None:
    with serve(settings, tmp_path) as process:
        assert Served(process).ask("GET", "/nothing", TRACES["without"]).body is False
    assert TRACES["without"] not in process.output.replace(f'"request_id": "{TRACES["without"]}"', "")


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
    ],
)
def test_the_standard_variables_decide(
    variables: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert traces._are_wanted() is wanted


@pytest.mark.parametrize(
    ("statement", "operation", "summary", "text"),
    [
        ("SELECT a.x FROM a JOIN b ON a.y = 7", "SELECT", "SELECT a b", "SELECT a.x FROM a JOIN b ON a.y = ?"),
        ("insert into a (x) values (-1.5e3, 'it''s')", "INSERT", "INSERT a", "insert into a (x) values (-?, ?)"),
        ("UPDATE a SET x = 1 /* s3cret */", "UPDATE", "UPDATE a", "UPDATE a SET x = ?"),
        ("SELECT x FROM a FOR UPDATE SKIP LOCKED", "SELECT", "SELECT a", "SELECT x FROM a FOR UPDATE SKIP LOCKED"),
        ("(SELECT 1)", "SELECT", "SELECT", "(SELECT ?)"),
        ("SELECT x1 FROM a2 WHERE 'open", "SELECT", "SELECT a2", "SELECT x1 FROM a2 WHERE ?"),
    ],
)
def test_a_statement_is_shown_without_its_literals(statement: str, operation: str, summary: str, text: str) -> None:
    assert described(statement) == (operation, summary, text)


def test_a_very_long_statement_is_shown_by_its_tables_alone() -> None:
    assert described(f"DELETE FROM a WHERE x IN ({', '.join(['x'] * 5000)})") == ("DELETE", "DELETE a", None)


def test_nobody_has_configured_spans_in_this_process(settings: Settings) -> None:
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    assert spans_of(settings.database.target, None) is None
