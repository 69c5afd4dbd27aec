"""Many processes of one service: eight migrate and start at once, share one server, and are replaced under load.

The rolling restart goes through HAProxy, which asks /health/ready and is told by nobody when a process stops; not one
request may fail.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
from books import Balance, Books, balance
from harness import COMBINATIONS, NAME, combination_id
from packages import unpacked
from services import CommandFailed, Service, database_url, free_port

from scale.rows import Env, Row
from scale.servers import HAProxy, Program, haproxy

REPLICAS = 8
CHECKS = """
    option httpchk
    http-check send meth GET uri /health/ready
    http-check expect status 200
"""
DELAY = 2  # seconds of SHUTDOWN_DELAY: several of HAProxy's questions
POOL = {"DATABASE_POOL_SIZE": "5", "DATABASE_MAX_OVERFLOW": "5"}
LIMIT = 40  # connections of the account, for REPLICAS x (5 + 5 + 1)
ACCOUNT = {
    "postgresql": (
        "CREATE ROLE app LOGIN PASSWORD 'secret' CONNECTION LIMIT {limit}",
        "GRANT pg_read_all_data, pg_write_all_data TO app",
    ),
    "mysql": (
        "CREATE USER app@'%' IDENTIFIED BY 'secret' WITH MAX_USER_CONNECTIONS {limit}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON `{database}`.* TO app@'%'",
    ),
}


def run(env: Env) -> list[Row]:
    rows = []
    for combination in COMBINATIONS:
        service, name = env.service(**combination), combination_id(combination)
        with service.dev_server() as server, env.new_folder() as folder:
            rows.append(migrate_at_once(service, server, name))
            rows.append(start_at_once(service, server, name, folder))
            rows.append(restart_one_after_another(service, server, name, folder))
    return rows


def migrate_at_once(service: Service, server: str, name: str) -> Row:
    """Each of the eight ends well, and the tables are there once."""
    url = database_url(server)
    service.create_database(url)
    row = Row(f"{REPLICAS} processes", "migrate at once", name)
    alembic = service.executable("alembic")
    with ThreadPoolExecutor(REPLICAS) as threads:
        runs = [threads.submit(service.run, alembic, "upgrade", "head", DATABASE_URL=url) for _ in range(REPLICAS)]
    failures = [str(run.exception()) for run in runs if run.exception()]
    row.failed = failures[0] if failures else ""
    applied = [run.result().count("Running upgrade") for run in runs if not run.exception()]
    row.said = f"{max(applied)} migrations by one, {applied.count(0)} found nothing to do"
    if not failures and sorted(applied)[:-1] != [0] * (REPLICAS - 1):
        row.failed = f"migrations that each has run: {applied}"
    return row


def replica(service: Service, url: str, port: int, folder: Path, **variables: str) -> Program:
    """A process of the service, which starts."""
    command = [service.executable("python"), "-m", "app", "--port", str(port), "--no-access-log"]
    environment = service.variables | {"DATABASE_URL": url, "PYTHONPATH": str(service.path), **variables}
    return Program(command, folder, environment=environment)


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def start_at_once(service: Service, server: str, name: str, folder: Path) -> Row:
    """By an account that may have fewer connections than their pools together: what finds none is told so, by a 503."""
    for statement in ACCOUNT[server.partition(":")[0]]:
        service.administer(database_url(server), statement.format(limit=LIMIT, database=NAME))
    url = str(httpx.URL(database_url(server)).copy_with(userinfo=b"app:secret"))
    ports = [free_port() for _ in range(REPLICAS)]
    with ExitStack() as stack:
        started = time.monotonic()
        programs = [stack.enter_context(replica(service, url, port, folder, **POOL)) for port in ports]
        for program, port in zip(programs, ports, strict=True):
            program.wait(partial(ready, port))
        took = time.monotonic() - started
        books, found = asyncio.run(_load_all(service, database_url(server), ports))
    said = f"all ready after {took:.1f} s; {books.statuses[503]} answers 503"
    return Row.of(
        found, f"{REPLICAS} processes", f"start at once; 80 clients, {LIMIT} of 88 connections", name, said=said
    )


async def _load_all(service: Service, url: str, ports: list[int]) -> tuple[Books, Balance]:
    books = Books(*(f"http://127.0.0.1:{port}" for port in ports))
    async with books.load(writers=60, readers=20):
        await asyncio.sleep(8)
    return books, await balance(books, service, url)


def restart_one_after_another(service: Service, server: str, name: str, folder: Path) -> Row:
    url, ports = database_url(server), [free_port() for _ in range(3)]
    variables = {**POOL, "SHUTDOWN_DELAY": str(DELAY)}
    with ExitStack() as stack:
        running = {port: stack.enter_context(ExitStack()) for port in ports}
        programs = {}
        for port in ports:
            programs[port] = running[port].enter_context(replica(service, url, port, folder, **variables))
            programs[port].wait(partial(ready, port))
        servers = dict.fromkeys(ports, "check inter 200ms fall 1 rise 1")
        proxy = stack.enter_context(haproxy(folder, servers, CHECKS, mode="http"))

        def restart(port: int) -> None:
            programs[port].stop()
            running[port].close()
            programs[port] = running[port].enter_context(replica(service, url, port, folder, **variables))
            programs[port].wait(partial(ready, port))
            until = time.monotonic() + 30
            while port not in proxy.up():
                if time.monotonic() > until:
                    raise CommandFailed(f"HAProxy sends nothing to the process that was started anew at {port}")
                time.sleep(0.05)

        books, found = asyncio.run(_load_during_restarts(service, url, ports, proxy, restart))
    failed = books.counts["requests"] - sum(count for status, count in books.statuses.items() if status < 500)
    version = unpacked("bookworm", "haproxy").version("usr/sbin/haproxy", "-v")
    row = Row.of(
        found,
        f"3 processes behind HAProxy {version}",
        "each restarted in turn, under load",
        name,
        said=f"{failed} failed requests",
    )
    if failed and not row.failed:
        row.failed = f"{failed} requests failed: {dict(books.statuses)}, {books.examples[:3]}"
    return row


async def _load_during_restarts(
    service: Service, url: str, ports: list[int], proxy: HAProxy, restart: Callable[[int], None]
) -> tuple[Books, Balance]:
    books = Books(f"http://127.0.0.1:{proxy.port}")
    async with books.load(writers=6, readers=2):
        for port in ports:
            await asyncio.to_thread(restart, port)
    books.urls[:] = [f"http://127.0.0.1:{port}" for port in ports]  # whose pools are looked at
    return books, await balance(books, service, url)
