"""Passwords that change: read anew for each new connection, met by a rotation in either order; and accounts that were
lost are found by readiness, although old connections live.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app import extensions, startup
from app.database import AccessDenied, Database, ServerGone, Unavailable, driver, password, pool
from app.database.translation import translated
from app.settings import DatabaseSettings, Settings
from app.startup import Probe, first_connection
from dev import databases
from tests import facts
from tests.statements import value
from tests.urls import as_user, beside, database_of, replaced

pytestmark = pytest.mark.usefixtures("no_pooler")

MakeDatabase = Callable[..., Database]


@pytest.fixture(scope="module")
def strict(settings: Settings) -> Iterator[DatabaseSettings]:
    """Settings of the administrator of a server that lets in nobody else without a password."""
    with facts.password_server(settings.database.url.get_secret_value()) as url:
        yield settings.database.model_copy(update={"url": SecretStr(url), "pool_timeout": 5.0})


@pytest.fixture
async def admin(strict: DatabaseSettings) -> AsyncIterator[driver.RawConnection]:
    connection = await driver.connect(strict.target, strict, read_only=False)
    yield connection
    await driver.close(connection)


@pytest.fixture
async def user(admin: driver.RawConnection, worker_id: str) -> AsyncIterator[str]:
    """An account whose password is `first`."""
    name = f"rotated_{worker_id}"
    await facts.create_user(admin, name, "first")
    yield name
    await facts.drop_user(admin, name)


@pytest.fixture
def anonymous(strict: DatabaseSettings, user: str) -> DatabaseSettings:
    """Its settings without a password."""
    url = replaced(strict.url.get_secret_value(), "userinfo", user)
    return strict.model_copy(update={"url": SecretStr(url)})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("first\n")
    return file


@pytest.fixture
def by_file(anonymous: DatabaseSettings, file: Path) -> DatabaseSettings:
    return anonymous.model_copy(update={"password_file": file})


async def replace_by(file: Path, password: str) -> None:
    """As secrets are mounted: another file of the same name."""
    new = file.with_name("new")
    await asyncio.to_thread(new.write_text, password)
    await asyncio.to_thread(new.replace, file)


async def gets_in(settings: DatabaseSettings) -> None:
    with translated(writing=True):
        await driver.close(await driver.connect(settings.target, settings))


async def read_at_once(database: Database, count: int) -> None:
    """So many units of work that hold a connection each at the same time."""
    all_in = asyncio.Barrier(count)

    async def read() -> None:
        async with database.read() as session:
            assert await value(session, select(1)) == 1
            await all_in.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(read())


async def test_a_file_that_is_replaced_is_read_for_each_new_connection(
    by_file: DatabaseSettings, admin: driver.RawConnection, user: str, file: Path
) -> None:
    database = Database(by_file.model_copy(update={"pool_size": 2, "max_overflow": 0}))
    await read_at_once(database, 1)
    await facts.set_password(admin, user, "second")
    await replace_by(file, "second\r\n")
    await read_at_once(database, 2)  # the first connection lives on, beside one that knows the new password
    assert database.status().open == 2
    await database.close()


async def test_a_start_migrations_and_readiness_read_the_file_too(by_file: DatabaseSettings) -> None:
    await driver.close(await first_connection(by_file))
    probe = Probe(by_file.target, by_file)
    await probe.check()
    await probe.close()


async def test_the_replica_has_the_same_source(by_file: DatabaseSettings) -> None:
    database = Database(by_file.model_copy(update={"replica_url": by_file.url}))
    await read_at_once(database, 1)
    assert database.statuses()["replica"].open == 1
    await database.close()


async def test_no_request_fails_while_passwords_rotate_in_either_order(
    by_file: DatabaseSettings, admin: driver.RawConnection, user: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SURPLUS_AFTER", 0.0)  # so that each round opens new connections
    database = Database(by_file.model_copy(update={"pool_size": 1, "max_overflow": 3}))
    rotated, rounds = asyncio.Event(), 0

    async def some_rounds() -> None:
        seen = rounds
        while rounds < seen + 2:
            await asyncio.sleep(0.01)

    async def rotate() -> None:
        await some_rounds()
        for number in range(4):
            if number % 2:
                await facts.set_password(admin, user, f"rotated {number}")
                await asyncio.sleep(0.1)  # for some to be refused
                await replace_by(file, f"rotated {number}")
            else:
                await replace_by(file, f"rotated {number}")
                await some_rounds()
                await facts.set_password(admin, user, f"rotated {number}")
            await some_rounds()
        rotated.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(rotate())
        while not rotated.is_set():
            await read_at_once(database, 4)
            rounds += 1
    await database.close()


async def test_a_password_that_is_still_right_serves_until_the_server_knows_the_new_one(
    by_file: DatabaseSettings, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = by_file.target
    await driver.close(await driver.connect(target, by_file))
    monkeypatch.setattr(password, "LOOKS", 0)
    await replace_by(file, "second")
    await driver.close(await driver.connect(target, by_file))
    with pytest.raises(AccessDenied):  # of another process, which has never been in
        await gets_in(by_file)


async def test_who_is_refused_looks_for_a_new_password_for_a_moment(
    anonymous: DatabaseSettings, admin: driver.RawConnection, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await facts.set_password(admin, user, "second")
    monkeypatch.setattr(password, "PAUSE", 0.001)
    answers = ["second", "first", "first", "first"]
    monkeypatch.setattr(extensions, "database_password", lambda *account: answers.pop(), raising=False)
    await gets_in(anonymous)
    assert answers == []
    answers = ["first"] * 100
    with pytest.raises(AccessDenied):
        await gets_in(anonymous)
    assert 100 - len(answers) == 1 + password.LOOKS


async def test_who_is_refused_gets_in_when_the_server_has_caught_up(
    by_file: DatabaseSettings, admin: driver.RawConnection, user: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source was changed first, in a process that has never been in."""
    await replace_by(file, "second")
    monkeypatch.setattr(password, "PAUSE", 0.05)
    connecting = asyncio.create_task(gets_in(by_file))
    await asyncio.sleep(0.1)
    await facts.set_password(admin, user, "second")
    await connecting


async def test_an_account_is_not_tried_more_than_three_times(
    anonymous: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = iter(range(100))
    monkeypatch.setattr(extensions, "database_password", lambda *account: f"wrong {next(wrong)}", raising=False)
    with pytest.raises(AccessDenied):
        await gets_in(anonymous)
    assert next(wrong) == password.ATTEMPTS == 3


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_function_is_asked_for_each_new_connection(
    asynchronous: bool, anonymous: DatabaseSettings, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int, str | None]] = []

    def token(host: str, port: int, user: str | None) -> str:
        time.sleep(0.001)  # a test fails that does so in the loop
        asked.append((host, port, user))
        return "first"

    async def token_by_request(host: str, port: int, user: str | None) -> str:
        await asyncio.sleep(0)
        asked.append((host, port, user))
        return "first"

    monkeypatch.setattr(extensions, "database_password", token_by_request if asynchronous else token, raising=False)
    database = Database(anonymous.model_copy(update={"pool_size": 2, "max_overflow": 0}))
    await read_at_once(database, 2)
    await read_at_once(database, 2)
    await database.close()
    (host,) = anonymous.target.hosts
    assert asked == [(*host, user)] * 2


async def test_a_function_may_say_that_there_is_no_password(
    strict: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extensions, "database_password", lambda *account: None, raising=False)
    administrator = strict.target.user or ""
    url = replaced(strict.url.get_secret_value(), "userinfo", administrator)
    if strict.target.password:
        pytest.skip("the administrator of this server has a password")
    await gets_in(strict.model_copy(update={"url": SecretStr(url)}))


async def test_a_url_with_a_password_asks_nobody_nor_does_a_file_ask_the_function(
    strict: DatabaseSettings, by_file: DatabaseSettings, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(host: str, port: int, user: str | None) -> str:
        raise AssertionError

    monkeypatch.setattr(extensions, "database_password", nobody, raising=False)
    await gets_in(strict.model_copy(update={"url": as_user(strict.url, user, "first")}))
    await gets_in(by_file)


class NoToken(Exception):
    pass


def no_token(host: str, port: int, user: str | None) -> str:
    raise NoToken("secret")


async def cancelled(host: str, port: int, user: str | None) -> str:
    """As one that shares its task with others, of whom one has given up."""
    shared = asyncio.create_task(asyncio.sleep(1, "token"))
    shared.cancel()
    return await shared


@pytest.mark.parametrize(
    ("ask", "cause"),
    [(no_token, NoToken), (lambda *account: b"bytes", TypeError), (cancelled, asyncio.CancelledError)],
    ids=["raises", "no text", "cancelled"],
)
async def test_a_function_without_an_answer_is_a_password_that_cannot_be_read(
    ask: Callable[..., Any], cause: type[BaseException], anonymous: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extensions, "database_password", ask, raising=False)
    with pytest.raises(Unavailable, match=r"^The password of the database cannot be read .+") as caught:
        await gets_in(anonymous)
    assert isinstance(caught.value.__cause__, cause)
    assert "secret" not in str(caught.value)


async def test_a_file_that_is_gone_is_a_password_that_cannot_be_read(by_file: DatabaseSettings, file: Path) -> None:
    await asyncio.to_thread(file.unlink)
    with pytest.raises(Unavailable, match=r"^The password of the database cannot be read .+"):
        await gets_in(by_file)


async def test_a_function_that_does_not_answer_costs_no_more_than_the_time_for_connecting(
    anonymous: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(host: str, port: int, user: str | None) -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(extensions, "database_password", never, raising=False)
    with pytest.raises(ServerGone):
        await gets_in(anonymous.model_copy(update={"connect_timeout": 0.05}))


@pytest.fixture
async def probe(strict: DatabaseSettings, user: str) -> AsyncIterator[Probe]:
    """The readiness probe of the account, connected."""
    settings = strict.model_copy(update={"url": as_user(strict.url, user, "first")})
    probe = Probe(settings.target, settings)
    await probe.check()
    yield probe
    await probe.close()


def test_an_account_that_was_lost_is_found_within_a_minute() -> None:
    assert startup.FRESH_AFTER <= 30


async def test_readiness_finds_an_account_that_lost_its_password(
    probe: Probe, admin: driver.RawConnection, user: str
) -> None:
    await facts.set_password(admin, user, "second")
    await probe.check()  # the old connection lives
    probe._fresh_until = 0
    for _ in range(2):
        with pytest.raises(AccessDenied):
            await probe.check()
    await facts.set_password(admin, user, "first")
    await probe.check()


async def test_readiness_finds_an_account_that_lost_its_grants(
    probe: Probe, admin: driver.RawConnection, user: str
) -> None:
    await facts.lock_out(admin, user)
    try:
        await probe.check()
        probe._fresh_until = 0
        with pytest.raises(AccessDenied):
            await probe.check()
    finally:
        await facts.let_in(admin, user)
    await probe.check()


async def test_readiness_finds_that_its_database_is_gone(strict: DatabaseSettings) -> None:
    url = beside(strict.url.get_secret_value(), f"{database_of(strict.url.get_secret_value())}_gone")
    settings = strict.model_copy(update={"url": SecretStr(url)})
    await databases.create(url)
    probe = Probe(settings.target, settings)
    await probe.check()
    await databases.drop(url)
    probe._fresh_until = 0
    with pytest.raises(AccessDenied):
        await probe.check()
    await probe.close()


async def test_a_server_without_a_place_for_a_second_connection_does_not_make_the_service_unready(
    strict: DatabaseSettings, admin: driver.RawConnection, user: str
) -> None:
    await facts.create_user(admin, user, "first", connections=1)
    settings = strict.model_copy(update={"url": as_user(strict.url, user, "first")})
    probe = Probe(settings.target, settings)
    await probe.check()
    probe._fresh_until = 0
    await probe.check()
    assert probe._fresh_until > 0
    await probe.close()
