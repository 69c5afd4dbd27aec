"""Getting in: any password, TLS or an error, and a server that is full."""

import asyncio
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text

from app.database import (
    AccessDenied,
    Database,
    DatabaseError,
    PoolTimeout,
    ServerGone,
    TooManyConnections,
    connector,
    driver,
    pool,
)
from app.database.connector import Connector
from app.database.translation import translate, translated
from app.settings import DatabaseSettings, Settings
from app.startup import wait_for_server
from tests import facts
from tests.proxy import Proxy
from tests.statements import value
from tests.urls import as_user

MakeDatabase = Callable[..., Database]

PASSWORD = "p@ss/w#rd%:?&'\"\\ é"


@pytest.fixture
async def user(server: driver.RawConnection, worker_id: str) -> AsyncIterator[str]:
    name = f"guest_{worker_id}"
    yield name
    await facts.drop_user(server, name)


@pytest.mark.usefixtures("no_pooler")
async def test_a_password_of_any_characters_gets_in(
    probe_database: MakeDatabase, settings: Settings, server: driver.RawConnection, user: str
) -> None:
    await facts.create_user(server, user, PASSWORD)
    database = probe_database(url=as_user(settings.database.url, user, PASSWORD))
    async with database.read() as session:
        assert await value(session, select(1)) == 1
    await database.close()


@pytest.mark.usefixtures("no_pooler")
async def test_a_server_that_takes_no_further_connection_is_unavailable(
    probe_database: MakeDatabase, settings: Settings, server: driver.RawConnection, user: str
) -> None:
    await facts.create_user(server, user, PASSWORD, connections=1)
    url = as_user(settings.database.url, user, PASSWORD)
    first, second = probe_database(url=url), probe_database(url=url)
    async with first.read() as session:
        await value(session, select(1))
    with pytest.raises(TooManyConnections):
        async with second.read() as session:
            await value(session, select(1))
    await first.close()


@pytest.mark.usefixtures("no_pooler")
async def test_tls_that_was_asked_for_is_there_or_is_an_error(settings: Settings) -> None:
    url = f"{settings.database.url.get_secret_value()}?sslmode=require"
    asking = DatabaseSettings(_env_file=None, url=SecretStr(url))
    try:
        connection = await driver.connect(asking.target, asking)
    except AccessDenied:  # at once: a start need not wait for it
        return
    assert facts.is_encrypted(connection)
    await driver.close(connection)


async def settings_of(url: str) -> DatabaseSettings:
    """Which look at the files that the URL names: at the start, not in the event loop."""
    return await asyncio.to_thread(DatabaseSettings, _env_file=None, url=SecretStr(url))


@pytest.mark.usefixtures("no_pooler")
async def test_a_certificate_is_verified(settings: Settings, server: driver.RawConnection) -> None:
    authority = await facts.certificate_authority(server)
    if authority is None:
        pytest.skip("this server has no TLS, or keeps its authority where it cannot be read from here")
    url = settings.database.url.get_secret_value()

    async def connect(options: str) -> driver.RawConnection:
        asking = await settings_of(f"{url}?{options}")
        return await driver.connect(asking.target, asking)

    connection = await connect(f"sslmode=verify-ca&sslrootcert={quote(str(authority))}")
    assert facts.is_encrypted(connection)
    await driver.close(connection)
    unknown_authority, other_name = ("sslmode=verify-ca", f"sslmode=verify-full&sslrootcert={quote(str(authority))}")
    for options in (unknown_authority, other_name):
        with pytest.raises(Exception, match=r"certificate|connect") as caught:
            await connect(options)
        assert str(translate(caught.value, writing=True)) == (
            "The database server's certificate is not one that the URL's TLS mode trusts"
        )


@pytest.mark.usefixtures("no_pooler")
async def test_a_certificate_of_the_client_gets_in_where_the_server_wants_one(
    settings: Settings, server: driver.RawConnection, user: str
) -> None:
    await facts.create_user(server, user, PASSWORD)
    if (files := await facts.client_certificate(server)) is None:
        pytest.skip("this server has no TLS, or no certificate for clients that can be read from here")
    await facts.require_certificate(server, user)
    url = as_user(settings.database.url, user, PASSWORD).get_secret_value()

    async def connect(options: str) -> driver.RawConnection:
        asking = await settings_of(f"{url}?sslmode=require{options}")
        return await driver.connect(asking.target, asking)

    certificate, key = (quote(str(file)) for file in files)
    connection = await connect(f"&sslcert={certificate}&sslkey={key}")
    assert facts.is_encrypted(connection)
    await driver.close(connection)
    with pytest.raises(AccessDenied), translated(writing=True):
        await connect("")


@pytest.mark.usefixtures("no_pooler")
async def test_a_connection_that_was_idle_is_asked_before_its_use_and_a_busy_one_is_not(
    probe_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[driver.RawConnection] = []
    ping = driver.ping

    async def counted(connection: driver.RawConnection) -> None:
        asked.append(connection)
        await ping(connection)

    monkeypatch.setattr(driver, "ping", counted)
    database = probe_database(pool_size=1, max_overflow=0)

    async def read() -> None:
        async with database.read() as session:
            assert await value(session, select(1)) == 1

    await read()
    await read()
    assert asked == []
    assert connector.PING_AFTER > 1
    monkeypatch.setattr(connector, "PING_AFTER", 0.0)
    await read()
    assert len(asked) == 1


async def test_idle_connections_of_a_silent_network_cost_a_request_no_more_than_its_time_in_the_pool(
    probe_database: MakeDatabase, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "PING_AFTER", 0.0)
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(url=url, pool_timeout=0.5, transaction_timeout=3, connect_timeout=4)
        async with database.read() as session:
            await value(session, select(1))
        proxy.fall_silent()
        with pytest.raises(PoolTimeout):  # not TransactionTimeout
            async with database.read() as session:
                await value(session, select(1))


@pytest.mark.usefixtures("no_pooler")
async def test_the_limit_of_the_user_counts_in_the_budget(
    settings: Settings, server: driver.RawConnection, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    await facts.create_user(server, user, PASSWORD, connections=3)
    url = as_user(settings.database.url, user, PASSWORD)
    limited = settings.database.model_copy(update={"url": url, "pool_size": 3, "max_overflow": 0})
    await wait_for_server(limited, workers=1)
    assert "the server's limit of 3:" in caplog.text


async def four_at_once(database: Database) -> None:
    all_in = asyncio.Barrier(4)

    async def read() -> None:
        async with database.read() as session:
            await value(session, select(1))
            await all_in.wait()

    await asyncio.gather(*(read() for _ in range(4)))


async def test_surplus_connections_stay_while_they_are_needed_and_close_when_they_have_been_idle(
    probe_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SURPLUS_AFTER", 0.3)
    database = probe_database(pool_size=1, max_overflow=3)
    await four_at_once(database)
    assert database.status().open == 4
    async with asyncio.timeout(10):
        while database.status().open > 1:
            await asyncio.sleep(0.01)
    await four_at_once(database)
    assert database.status().open == 4


async def test_a_connection_that_is_asked_for_again_stays_with_those_that_are_not_idle_for_long(
    probe_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SURPLUS_AFTER", 0.3)
    database = probe_database(pool_size=1, max_overflow=1)

    async def two() -> None:
        async with database.read() as session, asyncio.TaskGroup() as tasks:
            await value(session, select(1))
            tasks.create_task(one())

    async def one() -> None:
        async with database.read() as session:
            await value(session, select(1))

    async with asyncio.timeout(20):
        for _ in range(10):
            await two()
            await asyncio.sleep(0.1)
            assert database.status().open == 2
        while database.status().open > 1:
            await asyncio.sleep(0.01)


async def test_a_connection_that_has_come_to_its_age_is_closed_when_it_comes_back(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0, pool_recycle=1000)
    async with database.read() as session:
        await value(session, select(1))
        held = session._unit._seat.connection
        assert held is not None
        held.expires = 0
    assert (database.status().open, database.status().idle) == (0, 0)
    assert database.status().in_use == 1  # the place, until the server has one connection less
    async with database.read() as session:
        await value(session, select(1))
        assert session._unit._seat.connection is not held
    assert database.status().in_use == 0
    async with asyncio.timeout(10):
        while database._primary.pool._connector._ending:  # nothing is kept of what has been closed
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("no_pooler")  # which does not close its client's
async def test_a_connection_that_the_server_closed_is_not_counted_any_more(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.read() as session:
        await facts.kill(server, await value(session, text(facts.SESSION_ID)))
        held = session._unit._seat.connection
        assert held is not None
        async with asyncio.timeout(5):
            while not driver.is_closed(held.raw):
                await asyncio.sleep(0.005)
    assert (database.status().open, database.status().idle) == (0, 0)


async def test_surplus_connections_are_not_opened_for_each_use(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(url=url, pool_size=1, max_overflow=3)
        for _ in range(5):
            await four_at_once(database)
        assert proxy.connections == 4
        await database.close()


async def test_connections_that_were_opened_together_do_not_expire_together(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=4, max_overflow=0, pool_recycle=1000)
    await four_at_once(database)
    lives = [connection.expires for connection in database._primary.pool._idle]
    assert len(lives) == 4
    assert max(lives) - min(lives) > 1


@pytest.mark.usefixtures("no_pooler")
async def test_a_database_that_is_closed_leaves_no_connection_behind_not_even_one_in_use(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    before = await facts.connections(server)
    database = probe_database(pool_size=2, max_overflow=0)
    with pytest.raises(DatabaseError):
        async with database.transaction() as session:
            assert await value(session, select(1)) == 1
            await database.close()
            assert database.status().open == 0
    assert (database.status().open, database.status().in_use) == (0, 0)
    async with asyncio.timeout(10):
        while await facts.connections(server) > before:
            await asyncio.sleep(0.01)
    with pytest.raises(ServerGone):
        async with database.read() as session:
            await value(session, select(1))


async def test_a_connection_that_is_being_opened_when_the_database_closes_is_not_left_behind(
    probe_database: MakeDatabase, settings: Settings
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        database = probe_database(url=url, pool_size=1, max_overflow=0)

        async def read() -> None:
            async with database.read() as session:
                await value(session, select(1))

        proxy.fall_silent()
        opening, waiting = (asyncio.create_task(read()), asyncio.create_task(read()))
        while not (proxy.connections and database.status().waiting):
            await asyncio.sleep(0)
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        proxy.speak_again()
        ends = await asyncio.gather(opening, waiting, return_exceptions=True)
        await closing
        assert [type(end) for end in ends] == [ServerGone, ServerGone]
        assert (database.status().open, database.status().in_use) == (0, 0)


async def test_a_bug_in_what_makes_a_connection_ready_is_seen_as_it_is_and_keeps_no_place(settings: Settings) -> None:
    async def prepare(raw: driver.RawConnection) -> None:
        raise LookupError

    of_one_bug = pool.Pool(Connector(settings.database.target, settings.database, prepare), settings.database)
    with pytest.raises(LookupError):
        await of_one_bug.acquire()
    assert (of_one_bug.status().in_use, of_one_bug.status().open) == (0, 0)
    await of_one_bug.close()
