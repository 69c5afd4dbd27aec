"""TLS and Unix sockets on real servers: what a URL asks for is what the connection is, or one sentence says why not.

PostgreSQL's wheel is built without TLS and its private server has no socket: a real PgBouncer in front has both. How
certificates are checked on MySQL is a test of the service itself, with those that the server makes.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme
from harness import NAME, render
from services import Service, pgbouncer, python_called

pytestmark = pytest.mark.slow

# A start that has an hour's time: what is wrong for good must be said at once.
WAYS_IN = """
import asyncio, json, sys
from app.database import driver
from app.startup import CannotConnect, first_connection
from app.settings import DatabaseSettings

async def way_in(url):
    settings = DatabaseSettings(url=url, startup_timeout=3600)
    try:
        connection = await first_connection(settings)
    except CannotConnect as error:
        return str(error)
    answer = await driver.scalar(connection, "SELECT 1")
    transport = getattr(connection, "_transport", None) or connection._writer.transport
    await driver.close(connection)
    peer = transport.get_extra_info("peername")
    kind = "encrypted" if transport.get_extra_info("ssl_object") else "plaintext"
    return f"{kind} {'socket' if isinstance(peer, str) else 'tcp'} {answer}"

async def main():
    print(json.dumps([await way_in(url) for url in sys.argv[1:]]))

asyncio.run(main())
"""


def ways_in(service: Service, *urls: str, **variables: str) -> list[str]:
    printed = service.run(service.executable("python"), "-c", WAYS_IN, *urls, timeout=60, **variables)
    answers: list[str] = json.loads(printed.splitlines()[-1])
    return answers


@contextmanager
def open_folder() -> Iterator[Path]:
    """Not pytest's, into which the server's user cannot look."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def installed(template: Path, target: Path, driver: str) -> Service:
    service = Service(render(template, target / NAME, {"driver": driver}), python_called("newest"), {"MYSQLD": ""})
    service.run("uv", "sync", "--quiet")
    return service


def test_postgresql_by_tls_and_by_socket(snapshot: Path, tmp_path: Path) -> None:
    service = installed(snapshot, tmp_path, "asyncpg")
    ours, other = trustme.CA(), trustme.CA()
    certificate = ours.issue_cert("localhost")
    with open_folder() as folder, service.dev_server() as server:
        ours.cert_pem.write_to_path(folder / "ours.pem")
        other.cert_pem.write_to_path(folder / "other.pem")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
        (folder / "key.pem").chmod(0o644)
        tls = {
            "client_tls_sslmode": "allow",
            "client_tls_key_file": folder / "key.pem",
            "client_tls_cert_file": folder / "certificate.pem",
        }
        with pgbouncer(server, **tls, unix_socket_dir=folder) as pooled:
            port = httpx.URL(pooled).port
            named = f"postgresql://postgres@localhost:{port}/postgres?sslmode="
            numbered = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode="
            authority = f"&sslrootcert={folder}/ours.pem"
            answers = ways_in(
                service,
                f"{named}disable",
                f"{named}require",
                f"{numbered}verify-ca{authority}",
                f"{named}verify-full{authority}",
                f"postgresql://postgres@/postgres?host={folder}&port={port}",
                f"{numbered}verify-full{authority}",
                f"{named}verify-ca&sslrootcert={folder}/other.pem",
                f"{named}verify-full",
                f"{server}?sslmode=require",
                DATABASE_EXTERNAL_POOLER="true",
            )
    assert answers[:5] == ["plaintext tcp 1", *["encrypted tcp 1"] * 3, "plaintext socket 1"]
    for answer in answers[5:8]:
        assert answer.startswith("The database server's certificate is not one that the URL's TLS mode trusts"), answer
    assert answers[8].startswith("The database server offers no TLS, which the URL asks for")


def test_mysql_by_socket_and_without_the_tls_that_is_asked_for(snapshot: Path, tmp_path: Path) -> None:
    service = installed(snapshot, tmp_path, "aiomysql")
    with open_folder() as folder, service.dev_server(folder / "server") as server:
        socket = f"mysql://root@/mysql?unix_socket={folder}/server/data/socket"
        answers = ways_in(service, server, socket, f"{server}?ssl-mode=REQUIRED")
    assert answers[:2] == ["plaintext tcp 1", "plaintext socket 1"]
    assert answers[2].startswith("The database server offers no TLS, which the URL asks for")
