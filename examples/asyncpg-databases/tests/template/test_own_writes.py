"""A client finds what it wrote, over several requests: until the replica must have it, it reads at the primary."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from fastapi import APIRouter, HTTPException
from httpx import ASGITransport, AsyncClient
from sqlalchemy import select

from app import extensions
from app.database import CurrentDatabase, Database, DatabaseError, ReadSession, Session, WriteSession, driver
from app.database.route import Writer, writer
from app.main import create_app
from app.own_writes import COOKIE
from app.replica import KNOWN_WITHIN
from app.settings import Settings
from tests import facts
from tests.statements import value
from tests.template.test_replica import Places, in_use
from tests.template.test_start import with_database

Asking = Callable[..., AbstractAsyncContextManager[AsyncClient]]
BOUND = 5.5

router = APIRouter()


async def work(session: Session) -> None:
    await value(session, select(1))


@router.get("/read")
async def read(session: ReadSession, database: CurrentDatabase) -> list[str]:
    await work(session)
    return in_use(database)


@router.post("/write")
async def write(session: WriteSession) -> None:
    await work(session)


@router.post("/run")
async def run(database: CurrentDatabase) -> list[str]:
    await database.run_transaction(work)
    async with database.read() as session:
        await work(session)
        return in_use(database)


@router.post("/beside")
async def beside(session: ReadSession, database: CurrentDatabase) -> list[list[str]]:
    await work(session)
    before = in_use(database)
    await database.run_transaction(work)
    await work(session)
    return [before, in_use(database)]


@router.post("/nothing")
async def nothing(session: WriteSession) -> None:
    pass


@router.post("/undone")
async def undone(session: WriteSession) -> None:
    await work(session)
    raise HTTPException(409)


@router.post("/broken")
async def broken(database: CurrentDatabase) -> None:
    await database.run_transaction(work)
    raise RuntimeError


@pytest.fixture
def asking(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Asking:
    """A client, with a place for cookies, of a service whose replica is where its primary is."""
    monkeypatch.setattr(extensions, "routers", [router], raising=False)
    places = Places(monkeypatch)
    places.are(1, 1)

    @asynccontextmanager
    async def made(scheme: str = "http", **changes: object) -> AsyncIterator[AsyncClient]:
        on = {"replica_url": settings.database.url, "replica_max_lag": BOUND, "replica_read_your_writes": True}
        app = create_app(with_database(settings, **{**on, **changes}))
        transport = ASGITransport(app=app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=transport, base_url=f"{scheme}://test.example") as client,
        ):
            yield client

    return made


@pytest.mark.parametrize(("path", "status"), [("/write", 200), ("/run", 200), ("/broken", 500)])
async def test_who_has_written_reads_at_the_primary_and_nobody_else_does(
    path: str, status: int, asking: Asking
) -> None:
    async with asking() as client:
        assert (await client.get("/read")).json() == ["replica"]
        assert (await client.post(path)).status_code == status
        for _ in range(2):
            assert (await client.get("/read")).json() == ["primary"]
        client.cookies.clear()
        assert (await client.get("/read")).json() == ["replica"]


async def test_a_request_that_has_written_reads_at_the_primary(asking: Asking) -> None:
    async with asking() as client:
        assert (await client.post("/run")).json() == ["primary"]


async def test_a_read_session_that_was_there_before_the_write_goes_on_at_the_primary(asking: Asking) -> None:
    async with asking() as client:
        assert (await client.post("/beside")).json() == [["replica"], ["primary"]]


@pytest.mark.parametrize("path", ["/nothing", "/undone"])
async def test_who_has_stored_nothing_gets_no_cookie(path: str, asking: Asking) -> None:
    async with asking() as client:
        assert "Set-Cookie" not in (await client.post(path)).headers
        assert (await client.get("/read")).json() == ["replica"]


@pytest.mark.parametrize(("scheme", "secure"), [("http", ""), ("https", "; Secure")])
async def test_the_cookie_lasts_until_the_replica_must_have_it_or_is_left(
    scheme: str, secure: str, asking: Asking
) -> None:
    async with asking(scheme) as client:
        response = await client.post("/write")
        assert (await client.get("/read")).headers.get("Set-Cookie") is None
    seconds = 12
    assert seconds - 1 < BOUND + KNOWN_WITHIN <= seconds
    expected = f"{COOKIE}=1; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}"
    assert response.headers["Set-Cookie"] == expected


@pytest.mark.parametrize("off", [{"replica_read_your_writes": False}, {"replica_url": None}])
async def test_no_cookie_is_set_unasked(off: dict[str, object], asking: Asking) -> None:
    async with asking(**off) as client:
        assert "Set-Cookie" not in (await client.post("/write")).headers


async def test_a_commit_whose_outcome_is_not_known_may_have_stored_something(
    database: Database, server: driver.RawConnection, probe_table: None
) -> None:
    client = Writer(lately=False)
    token = writer.set(client)
    with pytest.raises(DatabaseError):
        async with database.transaction() as session:
            await facts.make_commit_fail(session, server)
            assert not client.now
    writer.reset(token)
    assert client.now
