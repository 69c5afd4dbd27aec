"""PgBouncer in transaction mode, 1.18, which follows no prepared statements, and 1.26, which does.

Behind each the service's own tests, all of them, and a load of more clients than the pooler has connections. Behind
1.26 the tests of round trips must have run: they count at the socket.
"""

import asyncio

from books import Balance, Books, balance
from harness import ACCESS_STYLES
from packages import Unpacked, unpacked
from services import CommandFailed, Service, database_url, pgbouncer

from scale.rows import Env, Row, migrated

PROGRAM = "usr/sbin/pgbouncer"
RELEASES = ("bookworm", "sid")
COUNTED = "test_round_trips.py"
SECONDS = 10


def run(env: Env) -> list[Row]:
    rows = []
    for release in RELEASES:
        package = unpacked(release, "pgbouncer")
        for access in ACCESS_STYLES:
            service = env.service("asyncpg", access, external_pooler=True)
            with service.dev_server() as server:
                rows += [own_tests(service, server, package, access), under_load(service, server, package, access)]
    return rows


def own_tests(service: Service, server: str, package: Unpacked, access: str) -> Row:
    version = package.version(PROGRAM)
    row = Row(f"PgBouncer {version}", "the service's own tests", f"asyncpg-{access}")
    follows = tuple(map(int, version.split(".")[:2])) >= (1, 24)  # by default
    with pgbouncer(server, package.program(PROGRAM)) as pooled:
        try:
            command = ("uv", "run", "pytest", "-n", "4", "-q", "-rs", "-o", "faulthandler_timeout=60")
            printed = service.run(*command, timeout=900, DATABASE_URL=database_url(pooled))
        except CommandFailed as failure:
            row.failed = str(failure)
            return row
    row.said = printed.rstrip().splitlines()[-1].strip("= ").partition(" in ")[0]
    skipped = [line for line in printed.splitlines() if line.startswith("SKIPPED") and COUNTED in line]
    row.said += "; each run of a statement takes a round trip more" if skipped else "; statements stay prepared"
    if follows == bool(skipped):
        row.failed = f"the round trips were {'not ' if skipped else ''}counted behind a pooler of this version"
    return row


def under_load(service: Service, server: str, package: Unpacked, access: str) -> Row:
    """40 clients by way of 4 connections to the server."""
    url = migrated(service, server)
    with (
        pgbouncer(server, package.program(PROGRAM), default_pool_size=4) as pooled,
        service.serving(database_url(pooled)) as client,
    ):
        found = asyncio.run(load(str(client.base_url).rstrip("/"), service, url))
    name = f"PgBouncer {package.version(PROGRAM)}"
    row = Row.of(found, name, "40 clients on 4 server connections", f"asyncpg-{access}")
    if not row.failed and found.unknown:
        row.failed = f"{found.unknown} writes without an answer"
    return row


async def load(base_url: str, service: Service, url: str) -> Balance:
    books = Books(base_url)
    async with books.load(writers=30, readers=10):
        await asyncio.sleep(SECONDS)
    return await balance(books, service, url, spare=4 + 2)  # what the pooler keeps, and the service's own
