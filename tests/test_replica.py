"""A replica that really follows, with lag that is made: what clients see, in each combination and on each server."""

import os
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from harness import COMBINATIONS, NAME, combination_id, render
from replication import replicated
from services import Service, database_url, python_called
from test_observability import until

pytestmark = pytest.mark.slow

BOUND = 3.0
ALL_OF_IT = {
    "DATABASE_REPLICA_FALLBACK": "true",
    "DATABASE_REPLICA_MAX_LAG": str(BOUND),
    "DATABASE_REPLICA_READ_YOUR_WRITES": "true",
}
RUNS = [
    *(pytest.param(each, "", id=combination_id(each)) for each in COMBINATIONS),
    pytest.param({"driver": "aiomysql", "access": "orm"}, "MYSQLD", id="aiomysql-orm on MySQL"),
]


def add(client: httpx.Client, number: int) -> str:
    """Writes; where that can be read."""
    ada = {"name": "Ada", "email": f"ada{number}@example.com", "specialty": "analysis"}
    created = client.post("/developers", json=ada)
    assert created.status_code == 201, created.text
    return created.headers["Location"]


def status(client: httpx.Client, path: str) -> int:
    return client.get(path).status_code


def readiness(client: httpx.Client) -> str:
    """What is said of the replica; the service is ready all the while."""
    answer = client.get("/health/ready")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["replica"])


def lag(client: httpx.Client) -> float:
    (line,) = (line for line in client.get("/metrics").text.splitlines() if line.startswith("database_replica_lag"))
    return float(line.split()[1])


def is_remembered(client: httpx.Client) -> bool:
    """Whether the client still has the cookie of its last write."""
    client.cookies.jar.clear_expired_cookies()
    return len(client.cookies.jar) > 0


@pytest.mark.parametrize(("combination", "variable"), RUNS)
def test_a_client_finds_its_writes_and_reads_go_on_while_the_replica_lags_or_is_away(
    combination: dict[str, str], variable: str, snapshot: Path, tmp_path: Path
) -> None:
    if variable and not os.environ.get(variable):
        pytest.skip("MYSQLD=/path/to/mysqld was not given")
    mysqld = {"MYSQLD": os.environ.get(variable, "")}
    service = Service(render(snapshot, tmp_path / NAME, combination), python_called("newest"), mysqld)
    service.run("uv", "sync", "--quiet")
    with replicated(service) as servers, ExitStack() as stack:
        url, replica = database_url(servers.primary), {"DATABASE_REPLICA_URL": database_url(servers.replica)}
        plain = stack.enter_context(service.serving(url, **replica))
        careful = stack.enter_context(service.serving(url, **replica, **ALL_OF_IT))
        stranger = stack.enter_context(httpx.Client(base_url=careful.base_url, timeout=30, trust_env=False))
        for client in (plain, careful):
            until(lambda: (readiness(client), lag(client)) == ("ok", 0))  # noqa: B023

        servers.pause()
        new = add(careful, 1)
        assert [status(client, new) for client in (careful, stranger, plain)] == [200, 404, 404]

        def reads_have_left() -> bool:
            assert status(careful, new) == 200
            return status(stranger, new) == 200

        until(reads_have_left)
        assert lag(careful) > BOUND
        assert readiness(careful) == "ReplicaLags"
        while is_remembered(careful):
            assert status(careful, new) == 200
        assert status(careful, new) == 200
        until(lambda: readiness(plain) == "ReplicaLags")
        assert status(plain, new) == 404  # without a bound reads stay

        servers.resume()
        for client in (plain, careful):
            until(lambda: (readiness(client), lag(client)) == ("ok", 0))  # noqa: B023
        assert status(plain, new) == 200
        servers.pause()
        newer = add(careful, 2)
        assert [status(client, newer) for client in (careful, stranger)] == [200, 404]  # reads have come back
        servers.resume()
        until(lambda: readiness(careful) == "ok" and status(stranger, newer) == 200)

        servers.end_replica()
        assert [status(stranger, newer) for _ in range(20)] == [200] * 20
        assert status(plain, newer) == 503
        add(plain, 3)
        until(lambda: {readiness(plain), readiness(careful)} == {"ServerGone"})
        assert lag(careful) == float("inf")
        assert status(stranger, newer) == 200
        assert status(plain, newer) == 503
