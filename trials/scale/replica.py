"""A server and a replica that follows it, with lag that is made: who writes finds it at once, whatever the replica has.

Clients write and read over several requests, each with a cookie of its own, while the replica replays nothing; then it
is ended under their reads. Reads have to be served, by the primary, and no write may be missed by who has made it.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Timer

import httpx
from harness import COMBINATIONS, combination_id
from replication import Replicated, replicated
from services import Service, database_url

from scale.nodes import ask, until
from scale.rows import Env, Row

CLIENTS = 16
WRITES = 20  # of each
BOUND = 2.0  # seconds of lag beyond which reads leave the replica
CAREFUL = {
    "DATABASE_REPLICA_FALLBACK": "true",
    "DATABASE_REPLICA_MAX_LAG": str(BOUND),
    "DATABASE_REPLICA_READ_YOUR_WRITES": "true",
    "LOG_LEVEL": "WARNING",
}


def run(env: Env) -> list[Row]:
    return [
        row
        for combination in COMBINATIONS
        for row in of_service(env.service(**combination), combination_id(combination))
    ]


def of_service(service: Service, name: str) -> list[Row]:
    with replicated(service) as servers:
        url = database_url(servers.primary)
        version = str(ask(service, url, "SELECT version()")[0][0]).partition(" on ")[0].partition("-")[0]
        cluster = f"{version if 'PostgreSQL' in version else f'MariaDB {version}'} and a replica"
        variables = {"DATABASE_REPLICA_URL": database_url(servers.replica), **CAREFUL}
        with service.serving(url, **variables) as client:
            until(lambda: _replica(client) == "ok", "the replica does not follow")
            return [
                behind(service, servers, client, cluster, name),
                beyond_the_bound(servers, client, cluster, name),
                ended(servers, client, cluster, name),
            ]


def behind(service: Service, servers: Replicated, client: httpx.Client, cluster: str, name: str) -> Row:
    """While the replica replays nothing each client finds what it has written, and others may not yet."""
    servers.pause()
    counts = _by_all(client, lambda one, number: _write_and_read(one, number, "new"))
    servers.resume()
    stored = ask(service, database_url(servers.primary), "SELECT count(*) FROM developers WHERE name = 'new'")[0][0]
    row = Row(cluster, f"{CLIENTS} clients write and read, the replica stands still", name, _numbers(counts))
    row.numbers["lost"] = counts["acknowledged"] - stored
    row.said = f"{counts['found']} reads, each by who had written, found the row"
    if counts["wrong_answers"] or counts["unmapped"] or row.numbers["lost"] or counts["found"] != CLIENTS * WRITES:
        row.failed = str(dict(counts))
    return row


def beyond_the_bound(servers: Replicated, client: httpx.Client, cluster: str, name: str) -> Row:
    """Beyond the bound everybody reads at the primary; and again at the replica when it has caught up."""
    row = Row(cluster, f"the replica falls behind by more than {BOUND:g} s, and catches up", name)
    until(lambda: _replica(client) == "ok", "the replica does not follow")
    servers.pause()
    began = time.monotonic()
    with httpx.Client(base_url=client.base_url, timeout=30, trust_env=False) as stranger:
        number = client.post("/developers", json=_person("late")).json()["id"]
        until(lambda: stranger.get(f"/developers/{number}").status_code == 200, "reads do not leave the replica")
        left = time.monotonic() - began
        servers.resume()
        until(lambda: _replica(client) == "ok", "the replica does not catch up")
        servers.pause()
        number = client.post("/developers", json=_person("later")).json()["id"]
        if stranger.get(f"/developers/{number}").status_code != 404:
            row.failed = "reads have not come back to the replica"
        servers.resume()
        until(lambda: stranger.get(f"/developers/{number}").status_code == 200, "the replica does not go on")
    row.said = f"all reads at the primary {left:.1f} s after the first write that it missed, and back again"
    return row


def ended(servers: Replicated, client: httpx.Client, cluster: str, name: str) -> Row:
    """The replica's server is ended under the reads of all: each of them is served."""
    ending = Timer(0.3, servers.end_replica)
    ending.start()
    counts = _by_all(client, lambda one, number: _write_and_read(one, number, "after"))
    ending.join()
    counts += _by_all(client, lambda one, number: _write_and_read(one, CLIENTS * WRITES + number, "after"))
    row = Row(cluster, "the replica is ended under load", name, _numbers(counts))
    row.said = "each read was served, by the primary"
    if counts["wrong_answers"] or counts["unmapped"] or counts["found"] != 2 * CLIENTS * WRITES:
        row.failed = str(dict(counts))
    return row


def _replica(client: httpx.Client) -> str:
    return str(client.get("/health/ready").json().get("replica"))


def _person(name: str, number: int = 0) -> dict[str, str]:
    return {"name": name, "email": f"{name}{number}@example.com", "specialty": "replication"}


def _numbers(counts: Counter[str]) -> dict[str, int]:
    return {each: counts[each] for each in ("requests", "acknowledged", "wrong_answers", "unmapped")}


def _by_all(client: httpx.Client, work: Callable[[httpx.Client, int], Counter[str]]) -> Counter[str]:
    """`work` of each client, `WRITES` times, with numbers that are nobody else's."""

    def one(place: int) -> Counter[str]:
        with httpx.Client(base_url=client.base_url, timeout=30, trust_env=False) as own:
            return sum((work(own, place * WRITES + number) for number in range(WRITES)), Counter())

    with ThreadPoolExecutor(CLIENTS) as threads:
        return sum(threads.map(one, range(CLIENTS)), Counter())


def _write_and_read(client: httpx.Client, number: int, name: str) -> Counter[str]:
    created = client.post("/developers", json=_person(name, number))
    if created.status_code != 201:
        return Counter({"requests": 1, "unmapped": created.status_code not in (503, 504)})
    found = client.get(created.headers["Location"])
    right = found.status_code == 200 and found.json() == created.json()
    return Counter({"requests": 2, "acknowledged": 1, "found": right, "wrong_answers": not right})
