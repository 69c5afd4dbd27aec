"""TLS and Unix sockets on real servers: what a URL asks for is what the connection is, or one sentence says why not.

PostgreSQL's wheel is built without TLS and its private server has no socket: a real PgBouncer in front has both. How
certificates are checked on MySQL is a test of the service itself, with those that the server makes.
"""

import asyncio
import json
import shutil
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Queue

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
from pydantic import ValidationError
from app.startup import CannotConnect, first_connection
from app.settings import DatabaseSettings

async def way_in(url):
    try:
        settings = DatabaseSettings(url=url, startup_timeout=3600)
        connection = await first_connection(settings)
    except (CannotConnect, ValidationError) as error:
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


def written(file: Path, content: trustme.Blob) -> Path:
    content.write_to_path(file)
    file.chmod(0o644)
    return file


def of_server(authority: trustme.CA, folder: Path, *, key: str, certificate: str) -> dict[str, Path]:
    """The files of a server's certificate, by the names of the options that take them."""
    issued = authority.issue_cert("localhost")
    return {
        key: written(folder / "server.key", issued.private_key_pem),
        certificate: written(folder / "server.pem", issued.cert_chain_pems[0]),
    }


def of_client(authority: trustme.CA, path: Path) -> Path:
    """`path`.pem and `path`.key are a certificate of the client and its key, `path`.both has both."""
    issued = authority.issue_cert("ada@example.com", common_name="postgres")
    written(Path(f"{path}.pem"), issued.cert_chain_pems[0])
    written(Path(f"{path}.key"), issued.private_key_pem)
    written(Path(f"{path}.both"), issued.private_key_and_cert_chain_pem)
    return path


@contextmanager
def direct_tls(authority: trustme.CA, server: str) -> Iterator[tuple[int, list[str | None]]]:
    """A proxy whose connections begin with TLS: its port, and what clients called the protocol."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["postgresql"])
    protocols: list[str | None] = []
    address = httpx.URL(server).host, httpx.URL(server).port

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        from_server, to_server = await asyncio.open_connection(*address)
        await asyncio.gather(pipe(reader, to_server), pipe(from_server, writer))

    started: Queue[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()

    async def run() -> None:
        stop = asyncio.Event()
        listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        started.put((listening.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop))
        await stop.wait()
        listening.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    port, loop, stop = started.get(timeout=30)
    try:
        yield port, protocols
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


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


def test_postgresql_by_a_certificate_of_the_client(snapshot: Path, tmp_path: Path) -> None:
    service = installed(snapshot, tmp_path, "asyncpg")
    ours, other = trustme.CA(), trustme.CA()
    with open_folder() as folder, service.dev_server() as server:
        tls = {
            "client_tls_sslmode": "verify-full",
            "client_tls_ca_file": written(folder / "ours.pem", ours.cert_pem),
            **of_server(ours, folder, key="client_tls_key_file", certificate="client_tls_cert_file"),
        }
        right, wrong = (of_client(authority, folder / name) for authority, name in ((ours, "right"), (other, "wrong")))
        locked = folder / "locked.pem"
        command = ("openssl", "ec", "-in", f"{right}.key", "-aes256", "-passout", "pass:s3cret", "-out", str(locked))
        subprocess.run(command, check=True, capture_output=True)
        with pgbouncer(server, **tls) as pooled:
            url = f"postgresql://postgres@localhost:{httpx.URL(pooled).port}/postgres?sslmode=verify-full"
            url += f"&sslrootcert={folder}/ours.pem"
            answers = ways_in(
                service,
                f"{url}&sslcert={right}.pem&sslkey={right}.key",
                f"{url}&sslcert={right}.both",
                f"{url}&sslcert={right}.pem&sslkey={locked}&sslpassword=s3cret",
                f"{url}&sslcert={right}.pem&sslkey={locked}&sslpassword=wrong",
                f"{url}&sslcert={right}.pem&sslkey={wrong}.key",
                url,
                f"{url}&sslcert={wrong}.pem&sslkey={wrong}.key",
                DATABASE_EXTERNAL_POOLER="true",
            )
    assert answers[:3] == ["encrypted tcp 1"] * 3
    for answer in answers[3:5]:
        assert "cannot be used" in answer, answer
    for answer in answers[5:]:
        assert answer.startswith("The database server wants a certificate of the client, or another one"), answer


def test_postgresql_by_tls_from_the_first_byte(snapshot: Path, tmp_path: Path) -> None:
    """By way of a proxy that ends TLS, as providers have: PostgreSQL's wheel has none."""
    service = installed(snapshot, tmp_path, "asyncpg")
    ours = trustme.CA()
    with open_folder() as folder, service.dev_server() as server, direct_tls(ours, server) as (port, protocols):
        url = f"postgresql://postgres@localhost:{port}/postgres?sslnegotiation=direct&sslmode=verify-full"
        authority = written(folder / "ours.pem", ours.cert_pem)
        answers = ways_in(service, f"{url}&sslrootcert={authority}", f"{url}&sslrootcert=system")
    assert answers[0] == "encrypted tcp 1"
    assert answers[1].startswith("The database server's certificate is not one that the URL's TLS mode trusts")
    assert protocols == ["postgresql"]


def test_mariadb_by_a_certificate_of_the_client(snapshot: Path, tmp_path: Path) -> None:
    service = installed(snapshot, tmp_path, "aiomysql")
    ours, other = trustme.CA(), trustme.CA()
    with open_folder() as folder:
        certificates = of_server(ours, folder, key="--ssl-key", certificate="--ssl-cert")
        certificates["--ssl-ca"] = written(folder / "ours.pem", ours.cert_pem)
        options = [f"{name}={file}" for name, file in certificates.items()]
        script = folder / "mariadbd"
        script.write_text(f'#!/bin/sh\nexec {shutil.which("mariadbd")} "$@" {" ".join(options)}\n')
        script.chmod(0o755)
        right, wrong = (of_client(authority, folder / name) for authority, name in ((ours, "right"), (other, "wrong")))
        served = replace(service, environment={"MYSQLD": str(script)})
        with served.dev_server(folder / "server") as server:
            made = "CREATE USER ada@'%' IDENTIFIED BY 'pw' REQUIRE X509", "GRANT ALL ON *.* TO ada@'%'"
            served.administer(server, *made)
            url = server.replace("root:@127.0.0.1", "ada:pw@localhost")
            url += f"?ssl-mode=VERIFY_IDENTITY&ssl-ca={folder}/ours.pem"
            answers = ways_in(
                service,
                f"{url}&ssl-cert={right}.pem&ssl-key={right}.key",
                f"{server}?ssl-mode=REQUIRED",
                url,
                f"{url}&ssl-cert={wrong}.pem&ssl-key={wrong}.key",
            )
    assert answers[:2] == ["encrypted tcp 1"] * 2
    assert answers[2].startswith("The database server refuses the user, the password or the database"), answers[2]
    assert answers[3].startswith("The database server wants a certificate of the client, or another one"), answers[3]


def test_mysql_by_socket_and_without_the_tls_that_is_asked_for(snapshot: Path, tmp_path: Path) -> None:
    service = installed(snapshot, tmp_path, "aiomysql")
    with open_folder() as folder, service.dev_server(folder / "server") as server:
        socket = f"mysql://root@/mysql?unix_socket={folder}/server/data/socket"
        answers = ways_in(service, server, socket, f"{server}?ssl-mode=REQUIRED")
    assert answers[:2] == ["plaintext tcp 1", "plaintext socket 1"]
    assert answers[2].startswith("The database server offers no TLS, which the URL asks for")
