"""A server that takes no writes for a while: reads go on, writes are told so, and the same process writes again later.

On servers of their own, since other tests write. PostgreSQL's is a hot standby that is promoted, MySQL's is switched to
read-only, as managed services do it around a failover.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from harness import ACCESS_STYLES, COMBINATIONS, NAME, combination_id, render
from services import Service, database_url, python_called

pytestmark = pytest.mark.slow

ADA = {"name": "Ada", "email": "ada@example.com", "specialty": "analysis"}
READ_ONLY = "urn:problem:read-only-server"


def installed(template: Path, target: Path, combination: dict[str, str]) -> Service:
    service = Service(render(template, target / NAME, combination), python_called("newest"), {"MYSQLD": ""})
    service.run("uv", "sync", "--quiet")
    return service


@contextmanager
def data_folders() -> Iterator[Path]:
    """Not pytest's, into which the server's user cannot look."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def reads_but_does_not_write(client: httpx.Client) -> None:
    for _ in range(2):  # the second finds no connection that the first has spoilt
        refused = client.post("/developers", json=ADA)
        assert (refused.status_code, refused.json()["type"]) == (503, READ_ONLY), refused.text
        assert refused.headers["Retry-After"]
        # The next one may reach another server, by way of a proxy or of DNS.
        assert 'database_pool_open{pool="primary"} 0.0' in client.get("/metrics").text
        assert client.get("/developers").json() == {"items": [], "next_cursor": None}


def writes(client: httpx.Client) -> None:
    created = client.post("/developers", json=ADA)
    assert created.status_code == 201, created.text


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_a_server_that_takes_no_writes_is_read_and_written_to_as_soon_as_it_takes_them(
    combination: dict[str, str], snapshot: Path, tmp_path: Path
) -> None:
    service = installed(snapshot, tmp_path, combination)
    with data_folders() as folder, ExitStack() as stack:
        if combination["driver"] == "asyncpg":
            with service.dev_server(folder / "data") as server:
                service.migrate(database_url(server))
            standby(folder / "data")
            server = stack.enter_context(service.dev_server(folder / "data"))
            url = database_url(server)
            ready = [url, "SELECT pg_promote()"]
        else:
            server = stack.enter_context(service.dev_server())
            service.migrate(database_url(server))
            url = database_url(server).replace("root:@", "app:secret@")  # an administrator may always write
            rights = f"GRANT ALL ON `{NAME}`.* TO app@'%'"
            service.administer(server, "CREATE USER app@'%' IDENTIFIED BY 'secret'", rights, "SET GLOBAL read_only = 1")
            ready = [server, "SET GLOBAL read_only = 0"]
        with service.serving(url) as client:
            reads_but_does_not_write(client)
            service.administer(*ready)
            writes(client)


@pytest.mark.parametrize("access", ACCESS_STYLES)
def test_a_url_with_several_hosts_follows_a_failover(access: str, snapshot: Path, tmp_path: Path) -> None:
    service = installed(snapshot, tmp_path, {"driver": "asyncpg", "access": access})
    with data_folders() as folder, ExitStack() as stack:
        with service.dev_server(folder / "one") as server:
            service.migrate(database_url(server))
        subprocess.run(["cp", "-a", folder / "one", folder / "two"], check=True)
        standby(folder / "two")
        first = ExitStack()
        primary = stack.enter_context(first).enter_context(service.dev_server(folder / "one"))
        other = stack.enter_context(service.dev_server(folder / "two"))
        url = httpx.URL(database_url(primary))
        hosts = f"{httpx.URL(other).netloc.decode()},{url.host}:{url.port}"
        with service.serving(str(url).replace(url.netloc.decode(), hosts)) as client:
            writes(client)  # to the second host: the first that answers is a standby
            first.close()
            for _ in range(2):
                refused = client.post("/developers", json=ADA)
                assert refused.status_code == 503, refused.text
            service.administer(database_url(other), "SELECT pg_promote()")
            writes(client)


def standby(data: Path) -> None:
    """Make of a stopped server one that only follows: https://www.postgresql.org/docs/current/hot-standby.html."""
    (data / "data" / "standby.signal").touch()
