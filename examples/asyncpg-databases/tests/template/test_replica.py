"""The replica: positions tell how far it is behind, and reads leave one that is away or too far behind, as it was set.

Where the servers are is made up here, on a real server that follows none; tests of the template have real replicas.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from math import inf, isnan

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.database import (
    Database,
    DatabaseError,
    PoolTimeout,
    SerializationFailure,
    ServerGone,
    Session,
    StatementTimeout,
    Unavailable,
    UnreadableValue,
    driver,
)
from app.database.replication import Positions
from app.database.route import Route
from app.main import create_app
from app.replica import LAGS_AFTER, Replica, ReplicaLags, SharedProbe, _watch, lag
from app.settings import Settings
from tests.proxy import Proxy, by_way_of, reserved_port
from tests.statements import value
from tests.template.test_start import with_database

MakeDatabase = Callable[..., Database]
Watch = Callable[..., tuple[Replica, Database]]


class Places:
    """Where the servers say that they are, and what time it is."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch, self.now = patch, 0.0
        patch.setattr("app.database.replication.monotonic", lambda: self.now)

    def are(self, primary: int | None, replica: int | None) -> None:
        self._patch.setattr(driver, "POSITION", "SELECT NULL" if primary is None else f"SELECT {primary}")
        self._patch.setattr(driver, "REACHED", "SELECT NULL" if replica is None else f"SELECT {{}} <= {replica}")


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    return Places(monkeypatch)


@pytest.fixture
async def watch(settings: Settings, probe_database: MakeDatabase) -> AsyncIterator[Watch]:
    """Makes what watches a replica, by settings, and the database that it leads."""
    made: list[Replica] = []

    def make(**changes: object) -> tuple[Replica, Database]:
        changes = {"replica_url": settings.database.url, **changes}
        options, database = (settings.database.model_copy(update=changes), probe_database(**changes))
        made.append(Replica(options, SharedProbe(options), database))
        return made[-1], database

    yield make
    for replica in made:
        await replica.probe.close()
        await replica._primary.close()


@pytest.fixture
def closed(settings: Settings) -> Iterator[SecretStr]:
    """The URL of the database with a port where nothing listens."""
    with reserved_port() as port:
        yield by_way_of(settings.database.url, port)


def in_use(database: Database) -> list[str]:
    return [pool for pool, status in database.statuses().items() if status.in_use]


async def reads_from(database: Database) -> str:
    async with database.read() as session:
        assert await value(session, select(1)) == 1
        (pool,) = in_use(database)
        return pool


def shown() -> float:
    """What /metrics says."""
    (sample,) = (sample for metric in lag.collect() for sample in metric.samples)
    return sample.value


async def test_the_lag_is_the_time_since_the_primary_had_more_than_the_replica_has(
    watch: Watch, places: Places
) -> None:
    replica, _ = watch()
    for places.now, primary, reached, seconds in (
        (100, 5, 5, 0),
        (101, 9, 5, 0),
        (104, 9, 5, 3),  # nothing more was written, and it has stopped
        (105, 12, 9, 0),
        (107, 20, 9, 2),
        (109, 30, 12, 2),
        (110, 30, 30, 0),
    ):
        places.are(primary, reached)
        await replica.look()
        assert shown() == seconds, places.now


async def test_the_lag_of_hours_is_known_by_a_bounded_number_of_positions(
    server: driver.RawConnection, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database.replication.KEPT", 40)
    positions, hours = Positions(), 120
    for n in range(hours):
        places.now = float(n)
        places.are(n, -1)
        await positions.note(server)
    assert await positions.behind(server) == hours - 1
    assert len(positions._ahead) <= 40
    places.are(hours, hours // 2)
    assert hours // 2 - 10 <= await positions.behind(server) < hours // 2
    places.are(hours, hours)
    assert await positions.behind(server) == 0


async def test_a_position_that_was_lost_in_a_failover_is_not_waited_for(watch: Watch, places: Places) -> None:
    replica, _ = watch()
    places.are(100, 50)
    await replica.look()
    places.now = 60
    places.are(51, 51)  # those of the new primary
    await replica.look()
    assert shown() == 0


@pytest.mark.parametrize("primary", [None, 5])
async def test_a_lag_that_nobody_can_tell_is_said_once_and_is_beyond_each_bound(
    primary: int | None, watch: Watch, places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    places.are(primary, None)
    replica, database = watch()
    for _ in range(2):
        await replica.look()
    assert caplog.text.count("How far the replica is behind is not known: it takes ") == 1
    assert isnan(shown())
    await replica.check()
    assert await reads_from(database) == "replica"
    replica, database = watch(replica_max_lag=3600)
    await replica.look()
    assert await reads_from(database) == "primary"


async def test_a_question_that_the_replica_refuses_is_a_lag_that_nobody_can_tell(
    watch: Watch, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.are(5, 5)
    monkeypatch.setattr(driver, "REACHED", "SELECT no_such_function({})")
    replica, _ = watch()
    await replica.look()
    assert isnan(shown())
    await replica.check()


async def test_a_replica_that_follows_nobody_any_more_is_infinitely_behind(watch: Watch, places: Places) -> None:
    replica, _ = watch()
    places.are(5, 5)
    await replica.look()
    places.are(5, None)
    await replica.look()
    assert shown() == inf
    with pytest.raises(ReplicaLags):
        await replica.check()


@pytest.mark.parametrize("bound", [None, 3])
async def test_readiness_tells_of_a_replica_that_is_too_far_behind(
    bound: float | None, watch: Watch, places: Places
) -> None:
    replica, _ = watch(replica_max_lag=bound)
    places.are(5, 4)
    await replica.look()
    places.now = bound or LAGS_AFTER
    await replica.look()
    await replica.check()
    places.now += 0.5
    await replica.look()
    with pytest.raises(ReplicaLags):
        await replica.check()


async def test_reads_leave_a_replica_that_is_beyond_the_bound_and_come_back(
    watch: Watch, places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    replica, database = watch(replica_max_lag=5)
    for places.now, reached, pool in ((0, 4, "replica"), (5, 4, "replica"), (6, 4, "primary"), (7, 5, "replica")):
        places.are(5, reached)
        await replica.look()
        assert await reads_from(database) == pool
    said = [record.getMessage() for record in caplog.records if record.name == "app.replica"]
    assert said == [
        "Reads go to the primary instead of the replica: it is 6.0 s behind",
        "Reads go to the replica again",
    ]


async def test_a_session_that_lives_for_hours_follows(watch: Watch, places: Places) -> None:
    replica, database = watch(replica_max_lag=5)
    async with database.of_request(brief=True) as session:
        for places.now, open_at_primary in ((0, 0), (6, 1)):
            places.are(5, 4)
            await replica.look()
            assert await value(session, select(1)) == 1
            assert database.statuses()["primary"].open == open_at_primary


async def test_a_primary_that_is_away_is_no_reason_to_leave_the_replica(
    settings: Settings, watch: Watch, places: Places, closed: SecretStr
) -> None:
    places.are(5, 5)
    replica, database = watch(replica_max_lag=1)
    await replica.look()
    await replica._primary.close()
    replica._primary = SharedProbe(settings.database.model_copy(update={"url": closed}))
    places.now = 60
    await replica.look()
    assert (shown(), await reads_from(database)) == (0, "replica")


async def test_reads_of_a_replica_that_is_away_fail_or_go_to_the_primary_as_it_was_set(
    watch: Watch, closed: SecretStr
) -> None:
    replica, database = watch(replica_url=closed)
    await replica.look()
    assert shown() == inf
    with pytest.raises(ServerGone):
        await replica.check()
    with pytest.raises(Unavailable):
        await reads_from(database)
    for setting in ({"replica_fallback": True}, {"replica_max_lag": 5}):
        replica, database = watch(replica_url=closed, **setting)
        await replica.look()
        assert await reads_from(database) == "primary"
        assert database.statuses()["replica"].open == 0


async def test_a_replica_that_is_silent_is_away_until_it_speaks(
    settings: Settings, watch: Watch, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.are(5, 5)
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        replica, database = watch(replica_url=url, replica_fallback=True)
        await replica.look()
        proxy.fall_silent()
        monkeypatch.setattr("app.replica.ANSWERS_WITHIN", 0.2)
        await replica.look()
        monkeypatch.setattr("app.replica.ANSWERS_WITHIN", 20)
        with pytest.raises(TimeoutError):
            await replica.check()
        assert await reads_from(database) == "primary"
        proxy.speak_again()
        await replica.look()
        assert await reads_from(database) == "replica"
        await replica.probe.close()
        await database.close()


async def test_a_look_at_which_what_it_waits_for_is_cancelled_by_somebody_else_is_not_the_last(
    watch: Watch, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    places.are(5, 5)
    replica, database = watch(replica_fallback=True)
    monkeypatch.setattr("app.replica.ASKED_EVERY", 0.01)
    watching = asyncio.create_task(_watch(replica))
    looks = 0

    async def shared(*_: object) -> float:
        nonlocal looks
        looks += 1
        shared = asyncio.create_task(asyncio.sleep(1, 0.0))
        shared.cancel()
        return await shared

    for server in (replica._primary, replica.probe):
        looks = 0
        with monkeypatch.context() as patch:
            patch.setattr(server, "ask", shared)
            async with asyncio.timeout(5):
                while looks < 2:
                    await asyncio.sleep(0.01)
            assert (await reads_from(database)) == ("primary" if server is replica.probe else "replica")
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


@pytest.mark.parametrize("fallback", [True, False])
async def test_a_read_that_meets_the_end_of_the_replica_is_done_again_by_the_primary_where_that_is_set(
    fallback: bool, settings: Settings, probe_database: MakeDatabase
) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(Proxy(settings.database.url).listen())
        database = probe_database(replica_url=url, replica_fallback=fallback)
        async with database.read() as session:
            assert await value(session, select(1)) == 1
            assert in_use(database) == ["replica"]
            await stack.aclose()
            if fallback:
                assert await value(session, select(1)) == 1
                assert in_use(database) == ["primary"]
            else:
                with pytest.raises(Unavailable):
                    await value(session, select(1))


async def test_a_read_that_is_at_the_replica_while_the_others_leave_it_is_done_again_too(
    settings: Settings, probe_database: MakeDatabase
) -> None:
    proxy = Proxy(settings.database.url)
    async with AsyncExitStack() as stack:
        database = probe_database(replica_url=await stack.enter_async_context(proxy.listen()), replica_fallback=True)
        proxy.fall_silent()
        reading = asyncio.create_task(reads_from(database))
        while not proxy.connections:
            await asyncio.sleep(0)
        database.use_replica(False)
        await stack.aclose()
        assert await reading == "primary"


async def test_the_first_read_of_all_is_done_by_the_primary_too(
    probe_database: MakeDatabase, closed: SecretStr
) -> None:
    database = probe_database(replica_url=closed, replica_fallback=True)
    for _ in range(2):
        assert await reads_from(database) == "primary"


@pytest.mark.parametrize(
    ("error", "goes_on"),
    [
        (ServerGone(), True),
        (Unavailable(), True),
        (SerializationFailure(), True),  # a standby's answer to a read that is in the way of what it replays
        (PoolTimeout(), False),
        (StatementTimeout(), False),
        (UnreadableValue(), False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_another_server_may_do_better_is_what_this_one_did_not_serve(
    probe_database: MakeDatabase, error: DatabaseError, goes_on: bool
) -> None:
    pool, spare = (probe_database()._primary.pool for _ in range(2))
    route = Route(pool, spare)
    found = route.around(pool, error)
    assert (found is not None and found.pool is spare) is goes_on
    assert route.around(spare, error) is None
    assert Route(pool).around(pool, error) is None
    if isinstance(error, PoolTimeout):  # while it was opened: it is the server that did not answer
        error.__cause__ = TimeoutError()
        assert route.around(pool, error) is not None


async def test_a_full_pool_is_no_reason_to_read_elsewhere(
    probe_database: MakeDatabase, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.database.pool.WAITERS_PER_PLACE", 0)
    database = probe_database(replica_url=settings.database.url, replica_fallback=True, pool_size=1, max_overflow=0)
    async with database.read() as session:
        await value(session, select(1))
        with pytest.raises(PoolTimeout):
            await asyncio.create_task(reads_from(database))
    assert database.statuses()["primary"].open == 0


async def test_the_start_looks_before_a_request_is_served(settings: Settings, closed: SecretStr) -> None:
    app = create_app(with_database(settings, replica_url=closed, replica_fallback=True))
    async with app.router.lifespan_context(app):
        assert await reads_from(app.state.database) == "primary"
        assert app.state.database.statuses()["replica"].open == 0


@pytest.mark.usefixtures("no_pooler")
async def test_what_the_replica_may_do_costs_no_round_trip(settings: Settings, probe_database: MakeDatabase) -> None:
    primary, replica = (Proxy(settings.database.url), Proxy(settings.database.url))
    async with primary.listen() as url, replica.listen() as replica_url:
        all_of_it = {"replica_fallback": True, "replica_max_lag": 5, "replica_read_your_writes": True}
        database = probe_database(url=url, replica_url=replica_url, pool_size=1, max_overflow=0, **all_of_it)

        async def write(session: Session) -> None:
            await value(session, select(1))

        for _ in range(3):  # compiled, prepared
            before = primary.round_trips, replica.round_trips
            await reads_from(database)
            await database.run_transaction(write)
        assert (primary.round_trips - before[0], replica.round_trips - before[1]) == (3, 1)
        await database.close()
