"""Fixtures: a real server, a database of its own for each worker, migrated once and emptied after each test.

With `DATABASE_URL` in the environment that server is used, else a private one is started. The database that the URL
names is never touched, nor is `.env` read: `<name>_test_<worker>` beside it is created, emptied and dropped.
"""

import asyncio
import logging
import mimetypes
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from blockbuster import BlockBuster, blockbuster_ctx
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy import MetaData
from starlette.types import ASGIApp, Receive, Scope, Send

from app import extensions
from app.database import Database, driver
from app.database.dbapi import URL
from app.main import create_app
from app.models import metadata
from app.settings import SERVICE_NAME, InvalidSettings, Settings, load_settings
from app.startup import CannotConnect
from dev import databases
from dev import server as dev_server
from tests import facts
from tests.probes import metadata as probe_metadata
from tests.proxy import Proxy
from tests.statements import sqlalchemy_engine
from tests.urls import beside, database_of

mimetypes.init()  # reads files of the system, which a test that uploads one would do in its event loop

pytest_plugins = getattr(extensions, "pytest_plugins", [])
# An update brings new tests also of what was deleted (docs/bulk.md).
collect_ignore_glob = [] if (Path(__file__).parents[1] / "app/database/bulk").is_dir() else ["template/test_bulk_*.py"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many as cores; twice as many with tests/template/, which wait for servers as long as they compute. One where
    the workers would share a database.
    """
    if facts.elsewhere(metadata):
        return 1
    cores = os.cpu_count() or 1
    return cores if config.option.ignore else 2 * cores


def pytest_configure(config: pytest.Config) -> None:
    """Start one private server for all workers, which are started later and inherit its address.

    Or try the one of DATABASE_URL, once for all tests: what is wrong with it is a sentence, not a traceback for each.
    """
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    try:
        if not (url := os.environ.get("DATABASE_URL")):
            private = dev_server.start()
            config.add_cleanup(private.stop)
            os.environ["DATABASE_URL"] = beside(private.url, SERVICE_NAME)
        load_settings(_env_file=None)
        if url and (others := facts.elsewhere(metadata)):
            raise pytest.UsageError(
                f"{', '.join(others)}: in databases of their own, which the tests would empty on this server too. Run"
                " them without DATABASE_URL, on a private one"
            )
        if url:
            own = test_database_url(url, f"try_{os.getpid()}")
            asyncio.run(databases.create(own))
            asyncio.run(databases.drop(own))
    except InvalidSettings as error:
        raise pytest.UsageError(f"{error} (the tests read no .env)") from error
    except (dev_server.ServerError, CannotConnect) as error:
        raise pytest.UsageError(str(error)) from error


def test_database_url(url: str, worker: str) -> str:
    """The URL of a worker's own database, beside the one that `url` names."""
    return beside(url, f"{database_of(url)}_test_{worker}")


test_database_url.__test__ = False  # type: ignore[attr-defined]  # a function of this name is a test to pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def settings(worker_id: str) -> Iterator[Settings]:
    """Settings for the worker's own database, which is migrated; those of the pool come from the environment."""
    url = test_database_url(os.environ["DATABASE_URL"], worker_id)
    if "_test_" not in database_of(url):  # the last guard before something is dropped
        raise RuntimeError("The tests only touch databases with _test_ in their names")
    settings = load_settings(_env_file=None)
    settings.database = settings.database.model_copy(update={"url": SecretStr(url)})
    asyncio.run(databases.drop(url))
    asyncio.run(databases.create(url))
    config = Config("alembic.ini")
    config.attributes["settings"] = settings.database
    try:
        command.upgrade(config, "head")
    except SystemExit as error:  # the sentence, without a traceback
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    asyncio.run(empty(settings, metadata))  # of what migrations put in, so that the first test is like the others
    yield settings
    asyncio.run(databases.drop(url))


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Fail the test that blocks the event loop: a file read, a sleep, a synchronous query."""
    with blockbuster_ctx() as blockbuster:
        yield blockbuster


@pytest.fixture
def no_pooler(settings: Settings) -> None:
    """For what a connection keeps, or loses, between two transactions."""
    if settings.database.external_pooler:
        pytest.skip("a pooler gives each transaction another of its connections, and opens lost ones again")


@pytest.fixture
async def plans_stay(settings: Settings) -> None:
    """For what a statement costs: prepared anew each time, it takes a round trip more."""
    if not await facts.plans_stay(settings.database):
        pytest.skip("this pooler keeps no statement prepared")


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The service, started; its database is emptied afterwards."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app
    await empty(settings, metadata)


@pytest.fixture
def database(app: FastAPI) -> Database:
    database: Database = app.state.database
    return database


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[driver.RawConnection]:
    """A connection of the test's own, outside the pool, which may write."""
    async with _connected(settings) as connection:
        yield connection


@pytest.fixture(scope="session")
async def probe_table(settings: Settings) -> None:
    """The table of the tests of the data layer (tests/probes.py)."""
    # An engine that is connected: on MariaDB a Uuid column is not what it is on MySQL.
    engine = sqlalchemy_engine(settings.database)
    async with engine.begin() as connection:
        await connection.run_sync(probe_metadata.create_all)
    await engine.dispose()


@pytest.fixture
async def probe_database(probe_table: None, settings: Settings) -> AsyncIterator[Callable[..., Database]]:
    """Makes databases with a pool of their own, by settings; they are closed and the probes emptied afterwards."""
    made: list[Database] = []

    def make(**changes: object) -> Database:
        made.append(Database(settings.database.model_copy(update=changes)))
        return made[-1]

    yield make
    for database in made:
        await database.close()
    await empty(settings, probe_metadata)


_emptying: dict[MetaData, list[str]] = {}  # by which statements


async def empty(settings: Settings, tables: MetaData) -> None:
    """Whatever refers to what, to itself or in a circle. A view has no rows of its own."""
    async with _connected(settings) as connection:
        if tables not in _emptying:
            dialect: Any = URL.get_dialect()
            preparer = dialect(paramstyle="named").identifier_preparer  # which leaves a % as it is
            views = {(schema, name) for schema, name in (await driver.run(connection, facts.VIEWS, ())).rows}
            found = [table for table in tables.tables.values() if (table.schema, table.name) not in views]
            _emptying[tables] = facts.emptying([preparer.format_table(table) for table in found])
        for statement in _emptying[tables]:
            await driver.scalar(connection, statement)


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[driver.RawConnection]:
    connection = await driver.connect(settings.database.target, settings.database, read_only=False)
    try:
        yield connection
    finally:
        await driver.close(connection)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """Asks the service as a client would: an unhandled exception is answered, and its traceback is in the output."""
    transport = ASGITransport(app=_traced(app), raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def _traced(app: ASGIApp) -> ASGIApp:
    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception:
            logging.getLogger(__name__).exception("%s %s", scope.get("method"), scope.get("path"))
            raise

    return traced


@pytest.fixture
async def round_trips(
    app: FastAPI, client: AsyncClient, settings: Settings, plans_stay: None
) -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """What a request costs on the wire: makes some of one kind, (method, path, body), and counts those of the last.

    The others let its statements be compiled, and prepared on the one connection that there is.
    """
    proxy = Proxy(settings.database.url)
    usual = app.state.database
    async with proxy.listen() as url:
        one = {"url": url, "pool_size": 1, "max_overflow": 0}
        app.state.database = Database(settings.database.model_copy(update=one))

        async def count(*requests: tuple[str, str, Any]) -> int:
            before = 0
            for method, path, body in requests:
                before = proxy.round_trips
                response = await client.request(method, path, json=body)
                assert response.is_success, response.text
            return proxy.round_trips - before

        yield count
        await app.state.database.close()
        app.state.database = usual
