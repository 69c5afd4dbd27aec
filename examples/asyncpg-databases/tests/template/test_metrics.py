"""/metrics shows the pool, the waits, the refusals, the transactions, retries and statements of this process."""

import asyncio
from collections.abc import Callable

import pytest
from httpx import AsyncClient
from prometheus_client.registry import Collector
from sqlalchemy import insert, select, text

from app.database import Database, DatabaseError, PoolTimeout, Retryable, Session, driver, metrics
from tests import facts
from tests.probes import probe, probes
from tests.statements import run, value

MakeDatabase = Callable[..., Database]


def sample(metric: Collector, suffix: str) -> float:
    """The value of this process so far; not from the whole registry, parts of which are read from files."""
    return next(s.value for family in metric.collect() for s in family.samples if s.name.endswith(suffix))


async def test_the_pool_of_the_process_is_shown(client: AsyncClient, database: Database) -> None:
    async with database.read() as session:
        await value(session, select(1))
        shown = (await client.get("/metrics")).text
    status = database.status()
    assert f'database_pool_places{{pool="primary"}} {status.places}.0' in shown
    assert 'database_pool_in_use{pool="primary"} 1.0' in shown
    assert f'database_pool_open{{pool="primary"}} {status.open}.0' in shown
    assert 'database_pool_waiting{pool="primary"} 0.0' in shown
    assert f'database_pool_idle{{pool="primary"}} {status.open - 1}.0' in shown
    assert "process_resident_memory_bytes" in shown


async def test_metrics_are_prometheus_text(client: AsyncClient) -> None:
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")


async def test_waits_and_refusals_are_counted(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_timeout=1)
    waits, refusals = (sample(metrics.waited, "_count"), sample(metrics.refused, "_total"))

    async def wait() -> None:
        async with database.read() as session:
            await value(session, select(1))

    async with database.read() as session:
        await value(session, select(1))
        with pytest.raises(PoolTimeout):
            await asyncio.create_task(wait())
    assert sample(metrics.waited, "_count") == waits + 2
    assert sample(metrics.waited, "_sum") > 0
    assert sample(metrics.refused, "_total") == refusals + 1


async def test_retries_are_counted(probe_database: MakeDatabase) -> None:
    before = sample(metrics.retried, "_total")

    async def work(session: Session) -> None:
        raise Retryable

    with pytest.raises(Retryable):
        await probe_database().run_transaction(work, attempts=3)
    assert sample(metrics.retried, "_total") == before + 2


def outcomes() -> dict[str, float]:
    samples = [s for metric in metrics.transactions.collect() for s in metric.samples if s.name.endswith("_total")]
    return {s.labels["outcome"]: s.value for s in samples}


@pytest.mark.parametrize("outcome", ["committed", "rolled_back", "given up", "commit fails"])
async def test_transactions_are_counted_once_each_by_how_they_ended(
    outcome: str, probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database, begun = probe_database(), asyncio.Event()
    async with database.read() as session:  # a read is none
        await value(session, select(1))
    before = outcomes()

    async def work() -> None:
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            begun.set()
            if outcome == "rolled_back":
                raise LookupError
            if outcome == "given up":
                await asyncio.Event().wait()
            if outcome == "commit fails":
                await facts.make_commit_fail(session, server)

    task = asyncio.create_task(work())
    await begun.wait()
    if outcome == "given up":
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    name = outcome if outcome in before else "lost"
    assert {each: count - before[each] for each, count in outcomes().items()} == {**dict.fromkeys(before, 0), name: 1}


async def test_statements_are_counted_with_their_time_also_those_that_fail(probe_database: MakeDatabase) -> None:
    async with probe_database().read() as session:
        await value(session, select(1))
        count, seconds = (sample(metrics.statements, "_count"), sample(metrics.statements, "_sum"))
        await value(session, select(1))
        with pytest.raises(DatabaseError):
            await value(session, text("SELECT no_such_column"))
    assert sample(metrics.statements, "_count") == count + 2
    assert sample(metrics.statements, "_sum") > seconds


async def test_a_slow_statement_is_counted_and_logged_without_its_values(
    probe_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with probe_database().read() as session:
        await run(session, select(1))  # connected: what a library asks a new connection may be slow too
        monkeypatch.setattr(metrics, "SLOW", 0.01)
        before = sample(metrics.slow_statements, "_total")
        await run(session, text(facts.SLEEP.format(":seconds")).bindparams(seconds=0.0213))
    assert sample(metrics.slow_statements, "_total") == before + 1
    assert "SLEEP" in caplog.text.upper()
    assert "0.0213" not in caplog.text
