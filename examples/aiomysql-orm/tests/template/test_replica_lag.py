"""/metrics says how far the replica is behind, and that it is away, whatever its readers do."""

import asyncio

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr

from app import replica_lag
from app.database import DatabaseError, driver
from app.main import create_app
from app.replica_lag import AWAY, measured
from app.settings import DatabaseSettings, Settings
from app.startup import Probe
from app.url import parse_url
from tests import facts
from tests.proxy import Proxy, by_way_of, reserved_port
from tests.template.test_start import with_database
from tests.urls import replaced


@pytest.fixture(autouse=True)
def nothing_measured_yet() -> None:
    replica_lag.lag.clear()


async def behind(settings: DatabaseSettings, url: SecretStr) -> float:
    probe = Probe(parse_url(url.get_secret_value()), settings)
    try:
        return await measured(probe)
    finally:
        await probe.close()


async def shown(app: FastAPI, when: str) -> str:
    """What /metrics says of the replica, once it does."""
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://test") as client:
        for _ in range(3000):
            lines = [line for line in (await client.get("/metrics")).text.splitlines() if line.startswith(when)]
            if lines:
                return lines[0]
            await asyncio.sleep(0.01)
    raise AssertionError("nothing is said")


async def test_a_server_that_follows_no_other_one_is_not_behind(settings: Settings) -> None:
    app = create_app(with_database(settings, replica_url=settings.database.url))
    async with app.router.lifespan_context(app):
        assert await shown(app, "database_replica_lag_seconds{") == 'database_replica_lag_seconds{pool="replica"} 0.0'


async def test_a_replica_that_is_away_is_infinitely_behind(settings: Settings) -> None:
    with reserved_port() as port:
        assert await behind(settings.database, by_way_of(settings.database.url, port)) == AWAY


async def test_a_replica_that_does_not_answer_is_infinitely_behind_until_it_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(settings.database.url)
    async with proxy.listen() as url:
        probe = Probe(parse_url(url.get_secret_value()), settings.database)
        assert await measured(probe) == 0
        monkeypatch.setattr(replica_lag, "ASKED_EVERY", 0.05)
        proxy.fall_silent()
        assert await measured(probe) == AWAY
        monkeypatch.undo()
        proxy.speak_again()
        assert await measured(probe) == 0
        await probe.close()


@pytest.mark.usefixtures("no_pooler")
async def test_a_user_who_may_not_ask_is_said_once_and_no_number_is_shown(
    settings: Settings, server: driver.RawConnection, caplog: pytest.LogCaptureFixture
) -> None:
    name = "may_not_ask_for_lag"
    await facts.create_user(server, name, "secret")
    url = SecretStr(replaced(settings.database.url.get_secret_value(), "userinfo", f"{name}:secret"))
    try:
        if not facts.LAG_NEEDS_A_RIGHT:
            assert await behind(settings.database, url) == 0
            return
        with pytest.raises(DatabaseError):
            await behind(settings.database, url)
        async with replica_lag.watched_replica(settings.database.model_copy(update={"replica_url": url})):
            while not caplog.records:
                await asyncio.sleep(0.01)
        assert "The replica does not say how far it is behind" in caplog.text
    finally:
        await facts.drop_user(server, name)
