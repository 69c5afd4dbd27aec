"""States of a real server of its own in which it ends sessions, or takes none, or no writes: 503, and nothing is kept.

PostgreSQL with each code of class 57P that can be made, and MySQL and MariaDB offline or with InnoDB read-only.
"""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from faults.server import children
from faults.world import World
from harness import ACCESS_STYLES
from scale import nodes
from services import with_server_options
from trial import world

pytestmark = pytest.mark.slow

ADA = {"name": "Ada", "email": "ada@example.com", "specialty": "analysis"}
GONE, READ_ONLY = "urn:problem:server-gone", "urn:problem:read-only-server"
OF_MYSQL = pytest.mark.parametrize("server", ["mariadbd", "MYSQLD"])
until = partial(nodes.until, limit=30)
STYLES = pytest.mark.parametrize("access", ACCESS_STYLES)


def refused(client: httpx.Client, kind: str, method: str = "GET") -> None:
    """With a problem of this type, twice, and without a connection that stays."""
    for _ in range(2):
        answer = client.request(method, "/developers", json=ADA if method == "POST" else None)
        assert (answer.status_code, answer.json()["type"]) == (503, kind), answer.text
        assert answer.headers["Retry-After"]
        assert 'database_pool_open{pool="primary"} 0.0' in client.get("/metrics").text


def reads(client: httpx.Client) -> bool:
    return client.get("/developers").status_code == 200


@contextmanager
def serving(here: World, url: str = "") -> Iterator[httpx.Client]:
    """A client of the service; as another user than the administrator, with `url`."""
    with (
        here.served(url, {"LOG_LEVEL": "INFO"}) as served,
        httpx.Client(base_url=served.url, timeout=30, trust_env=False) as client,
    ):
        yield client


@STYLES
def test_sessions_that_postgresql_ends_and_refuses_are_503_until_it_takes_them_again(access: str) -> None:
    with world({"driver": "asyncpg", "access": access}) as here:
        user = here.own_user()
        sessions = "FROM pg_stat_activity WHERE usename = 'app'"

        def no_session() -> bool:
            return not here.console.run(f"SELECT {sessions}")

        # 57P05, 57P01: nobody was asking, nobody is told.
        here.console.run("ALTER ROLE app SET idle_session_timeout = '200ms'")
        with serving(here, user) as client:
            assert reads(client)
            until(no_session, "the server ends no idle session")
            assert reads(client)
            here.console.run("ALTER ROLE app RESET idle_session_timeout")
            until(no_session, "the server ends no idle session")
            assert reads(client)
            here.console.run(f"SELECT pg_terminate_backend(pid, 10000) {sessions}")
            assert reads(client)

            # 57P02: somebody else's session crashed. The one that is killed holds the lock for which a request waits.
            assert client.post("/developers", json=ADA).status_code == 201
            with here.server.console(keeps=True) as other:
                other.run("BEGIN")
                other.run("UPDATE developers SET name = 'Eve'")
                holder = other.value("SELECT pg_backend_pid()")
                assert holder in children(here.server.process)
                patch = httpx.Client(base_url=client.base_url, timeout=30, trust_env=False)
                with patch, ThreadPoolExecutor() as thread:
                    path = f"/developers/{client.get('/developers').json()['items'][0]['id']}"
                    asking = thread.submit(patch.patch, path, json={"name": "Grace"})
                    waiting = f"SELECT count(*) {sessions} AND wait_event_type = 'Lock'"
                    until(lambda: here.console.value(waiting) == 1, "no request waits for the lock")
                    os.kill(holder, signal.SIGKILL)
                    answer = asking.result(30)
            assert (answer.status_code, answer.json()["type"]) == (503, GONE), answer.text
            until(lambda: reads(client), "the server does not recover")  # before, it says 57P03

            # 57P03: it lets those who are there come to their end.
            with here.server.console(keeps=True) as last:
                last.run("SELECT 1")
                os.kill(here.server.process, signal.SIGTERM)
                last.run(f"SELECT pg_terminate_backend(pid, 10000) {sessions}")
                refused(client, GONE)
            here.server.restart()
            until(lambda: reads(client), "the service does not come back")
        assert "57P03" in here.log


@contextmanager
def of_mysql(access: str, server: str) -> Iterator[World]:
    given = os.environ.get("MYSQLD", "") if server == "MYSQLD" else ""
    if server == "MYSQLD" and not given:
        pytest.skip("MYSQLD=/path/to/mysqld was not given")
    with world({"driver": "aiomysql", "access": access}, given) as here:
        yield here


@STYLES
def test_mysql_that_is_offline_is_503_until_it_is_back(access: str) -> None:
    with of_mysql(access, "MYSQLD") as here, serving(here, here.own_user()) as client:
        assert reads(client)
        here.console.run("SET GLOBAL offline_mode = ON")
        refused(client, GONE)
        refused(client, GONE, "POST")
        here.console.run("SET GLOBAL offline_mode = OFF")
        assert reads(client)


@OF_MYSQL
@STYLES
def test_innodb_that_is_read_only_is_read_and_refuses_writes(access: str, server: str) -> None:
    with of_mysql(access, server) as here:
        here.server.stop()
        usual = here.server.service
        here.server.service = with_server_options(usual, here.server.data / "read-only", "--innodb-read-only=1")
        here.server.start()
        with serving(here) as client:
            refused(client, READ_ONLY, "POST")
            assert reads(client)
            here.server.service = usual
            here.server.restart()
            until(lambda: client.post("/developers", json=ADA).status_code == 201, "it does not write again")
