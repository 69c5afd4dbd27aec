"""A connection that the network or the server has reset, without a goodbye, is a lost server to whatever meets it next:
on every event loop, since they differ in what a transport does then.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.sql import text

from app.database import Database, ServerGone, Session, driver
from app.database.translation import translate
from app.settings import Settings
from tests.proxy import Proxy
from tests.statements import run, savepoint, value
from tests.template import ways

LOOPS = ["asyncio", "uvloop"]

OPERATIONS: dict[str, Callable[[driver.RawConnection], Awaitable[Any]]] = {
    "ping": driver.ping,
    "scalar": lambda raw: driver.scalar(raw, "SELECT 1"),
    "run": lambda raw: driver.run(raw, "SELECT 1", ()),
    "run_many": lambda raw: driver.run_many(raw, "SELECT 1", [(), ()]),
    "begin": lambda raw: driver.begin(raw, "READ COMMITTED"),
    "commit": driver.commit,
    "rollback": driver.rollback,
    "stream": lambda raw: driver.stream(raw, "SELECT 1", ()),
}
ENDS = {"close": driver.close, "retire": driver.retire}


def on(loop: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the work on this kind of loop, as uvicorn does on uvloop."""
    factory = asyncio.new_event_loop if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work())


def raw_of(session: Session) -> driver.RawConnection:
    connection = session._unit._seat.connection
    assert connection is not None
    return connection.raw


async def closed(raw: driver.RawConnection) -> None:
    """Until the connection knows that it was reset."""
    for _ in range(1000):
        if driver.is_closed(raw):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody has noticed")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("inside", [False, True], ids=["idle", "in a transaction"])
@pytest.mark.parametrize("name", [*OPERATIONS, *ENDS])
def test_what_meets_a_reset_connection_finds_a_lost_server(
    name: str, inside: bool, loop: str, settings: Settings
) -> None:
    async def work() -> None:
        proxy = Proxy(settings.database.url)
        async with proxy.listen() as url:
            own = settings.database.model_copy(update={"url": url})
            raw = await driver.connect(own.target, own)
            if inside:
                await driver.begin(raw, "READ COMMITTED")
            proxy.reset()
            await closed(raw)
            if name in ENDS:
                await ENDS[name](raw)
            else:
                with pytest.raises(Exception) as caught:  # noqa: PT011  # which it is depends on the driver
                    await OPERATIONS[name](raw)
                assert isinstance(translate(caught.value, writing=True), ServerGone), repr(caught.value)
            driver.terminate(raw)

    on(loop, work)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stream_whose_connection_was_reset_is_unavailable(loop: str, settings: Settings) -> None:
    many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i FROM n"

    async def work() -> None:
        proxy = Proxy(settings.database.url)
        async with proxy.listen() as url:
            database = Database(settings.database.model_copy(update={"url": url}))
            with pytest.raises(ServerGone):
                async with database.transaction() as session:
                    async for row in ways.stream(session, text(many)):
                        if row[0] == 1:
                            proxy.reset()
                            await closed(raw_of(session))
            await database.close()

    on(loop, work)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_unit_whose_connection_was_reset_is_unavailable_and_the_next_one_works(
    loop: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        proxy = Proxy(settings.database.url)
        async with proxy.listen() as url:
            database = Database(settings.database.model_copy(update={"url": url, "pool_size": 1, "max_overflow": 1}))

            async def statement(session: Any) -> None:
                await value(session, select(1))

            async def in_a_savepoint(session: Any) -> None:
                async with savepoint(session):
                    await value(session, select(1))

            async def by_text(session: Any) -> None:
                await run(session, text("SELECT 1"))

            async def nothing(session: Any) -> None:
                """COMMIT meets it."""

            for later in (statement, in_a_savepoint, by_text, nothing):
                with pytest.raises(ServerGone):
                    async with database.transaction() as session:
                        await value(session, select(1))
                        proxy.reset()
                        await closed(raw_of(session))
                        await later(session)
                async with database.read() as session:
                    await value(session, select(1))
                assert database.status().in_use == 0
            for is_needed in (True, False):
                (kept,) = database._primary.pool._idle
                proxy.reset()
                await closed(kept.raw)
                if is_needed:
                    async with database.read() as session:
                        await value(session, select(1))
            await database.close()

    with caplog.at_level(logging.ERROR):
        on(loop, work)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("loop", LOOPS)
def test_an_error_that_came_before_the_reset_is_the_one_that_is_seen(loop: str, settings: Settings) -> None:
    async def work() -> None:
        proxy = Proxy(settings.database.url)
        async with proxy.listen() as url:
            database = Database(settings.database.model_copy(update={"url": url}))
            with pytest.raises(LookupError):
                async with database.transaction() as session:
                    await value(session, select(1))
                    proxy.reset()
                    await closed(raw_of(session))
                    raise LookupError
            with pytest.raises(ServerGone):
                async with database.transaction() as session:
                    await value(session, select(1))
                    proxy.reset()  # and nobody knows yet
                    await value(session, select(1))
            await database.close()

    on(loop, work)
