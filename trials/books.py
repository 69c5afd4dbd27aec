"""A client that keeps books: what the service said of each write, against what the server has at the end.

Writers add, read back, change and remove rows of their own, each write with a value of its own, so that a stored value
tells which write stored it. A write is acknowledged (2xx), refused (an answer which says that nothing was stored),
or unknown (no answer, or one that says so); a row whose last write is unknown is left alone from then on, because it
may still be under way. `balance` reads the table over a connection of its own, and the books say what is wrong.
"""

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httpx
from services import Service

PATIENCE = 40.0
"""Seconds after which a request hangs: longer than all limits of a service together."""
UNKNOWN = "urn:problem:outcome-unknown"
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
REFUSED, ACKNOWLEDGED, UNKNOWN_OUTCOME = "refused", "acknowledged", "unknown"

STATE = """
import asyncio, json, sys
from app.database import driver
from app.settings import DatabaseSettings

async def run(url, *queries):
    settings = DatabaseSettings(_env_file=None, url=url)
    connection = await driver.connect(settings.target, settings)
    print(json.dumps([[list(row) for row in (await driver.run(connection, query, ())).rows] for query in queries]))
    await driver.close(connection)

asyncio.run(run(*sys.argv[1:]))
"""

# What others have open in this database, and how much of it is at work or in a transaction.
SESSIONS = {
    "postgresql": """
        SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()""",
    "mysql": """
        SELECT COUNT(*), CAST(COALESCE(SUM(command NOT IN ('Sleep', 'Daemon') OR id IN
        (SELECT trx_mysql_thread_id FROM information_schema.innodb_trx)), 0) AS SIGNED)
        FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()""",
}


@dataclass
class Row:
    """A row that one writer changes. `possible`: the values that it may have now, None where it may be missing."""

    email: str
    id: int | None = None
    possible: set[str | None] = field(default_factory=lambda: {None})
    refused: set[str | None] = field(default_factory=set)
    pending: set[str | None] = field(default_factory=set)
    sent: list[str | None] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        return len(self.possible) == 1


@dataclass(frozen=True)
class Balance:
    """What `balance` found. All but the first three have to be 0, the waits short; None where nothing was marked."""

    requests: int
    acknowledged: int
    unknown: int
    lost: int
    stored_though_refused: int
    wrong_answers: int
    unmapped: int
    hung: int
    leaked: int
    longest_wait: float
    recovery: float | None
    examples: tuple[str, ...]

    @property
    def faults(self) -> dict[str, int]:
        """Those of the counts that have to be 0 and are not."""
        names = ("lost", "stored_though_refused", "wrong_answers", "unmapped", "hung", "leaked")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


class Books:
    """Of the requests to the services at `urls`, which serve one database; a request goes to any of them."""

    def __init__(self, *urls: str, patience: float = PATIENCE, seed: int = 1) -> None:
        self.urls = list(urls)
        self.patience = patience
        self.random = random.Random(seed)
        self.rows: dict[str, Row] = {}
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.examples: list[str] = []
        self.longest_wait = 0.0
        self.recovery: float | None = None
        self._run = uuid.uuid4().hex[:8]
        self._marked: float | None = None
        self._acknowledged_again = asyncio.Event()
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def load(
        self, *, writers: int = 8, readers: int = 2, hang_ups: float = 0, pause: float = 0
    ) -> AsyncIterator["Books"]:
        """Writers and readers until the block ends; then each finishes what it has begun.

        `hang_ups` is the share of requests that are given up at random; `pause` the seconds between two of a worker.
        """
        stop = asyncio.Event()

        async def repeat(cycle: Any) -> None:
            while not stop.is_set():
                await cycle(hang_ups)
                if pause:
                    await asyncio.sleep(pause)

        async with self.open(), asyncio.TaskGroup() as group:
            for cycle, number in ((self.write_and_read, writers), (self.read_any, readers)):
                for _ in range(number):
                    group.create_task(repeat(cycle))
            try:
                yield self
            finally:
                stop.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Books"]:
        """For single requests; `load` does it by itself, and may be inside of it."""
        if self._client is not None:
            yield self
            return
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=2)
        async with httpx.AsyncClient(limits=limits, timeout=None, trust_env=False) as self._client:
            yield self
        self._client = None

    def mark(self) -> None:
        """The server is back: from now to the next acknowledged write is the recovery."""
        self._marked, self.recovery = monotonic(), None
        self._acknowledged_again.clear()

    async def recovered(self, limit: float = 30) -> float | None:
        """Waits for the write that ends the recovery, no longer than `limit`. The recovery, None without one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._acknowledged_again.wait()
        return self.recovery

    async def write_and_read(self, hang_ups: float = 0) -> None:
        """A new row; read back; often changed and read back; now and then removed. Ends at the first refusal."""
        row = Row(f"{self._run}-{len(self.rows)}@example.com")
        self.rows[row.email] = row
        if not await self.create(row, hang_ups=hang_ups):
            await asyncio.sleep(0.01)  # not as fast as a server that is gone can refuse
            return
        await self.read(row)
        while row.settled and None not in row.possible and (what := self.random.random()) < 0.6:
            done = await (self.remove(row, hang_ups=hang_ups) if what < 0.1 else self.change(row, hang_ups=hang_ups))
            if not done:
                return
            await self.read(row)

    async def read_any(self, hang_ups: float = 0) -> None:
        """Read a row of any writer."""
        known = [row for row in list(self.rows.values())[-200:] if row.id is not None]
        if not known or await self.read(self.random.choice(known), hang_ups=hang_ups) is None:
            await asyncio.sleep(0.01)

    async def create(self, row: Row, *, hang_ups: float = 0) -> bool:
        value = self._value()
        content = {"name": row.email, "email": row.email, "specialty": value}
        return await self.write(row, value, "POST", "/developers", json=content, hang_ups=hang_ups)

    async def change(self, row: Row, *, hang_ups: float = 0) -> bool:
        value = self._value()
        content = {"specialty": value}
        return await self.write(row, value, "PATCH", f"/developers/{row.id}", json=content, hang_ups=hang_ups)

    async def remove(self, row: Row, *, hang_ups: float = 0) -> bool:
        return await self.write(row, None, "DELETE", f"/developers/{row.id}", hang_ups=hang_ups)

    async def bulk(self, size: int) -> bool:
        """So many new rows in one request, all or nothing."""
        rows = [Row(f"{self._run}-{len(self.rows) + number}@example.com") for number in range(size)]
        self.rows |= {row.email: row for row in rows}
        value = self._value()
        content = [{"name": row.email, "email": row.email, "specialty": value} for row in rows]
        return await self.write(rows, value, "POST", "/developers/bulk", json=content)

    async def write(
        self, rows: Row | list[Row], value: str | None, method: str, path: str, *, hang_ups: float = 0, **request: Any
    ) -> bool:
        """Send a write that gives `rows` this value, and enter what was said of it: whether it was acknowledged."""
        rows = [rows] if isinstance(rows, Row) else rows
        for row in rows:
            row.pending.add(value)
            row.sent.append(value)
        answer = await self.ask(method, path, hang_ups=hang_ups, **request)
        said = self._said(answer)
        self.counts[said] += 1
        for row in rows:
            row.pending.discard(value)
            if said == ACKNOWLEDGED:
                row.possible = {value}
            elif said == REFUSED:
                row.refused.add(value)
            else:
                row.possible.add(value)
        if said != ACKNOWLEDGED:
            return False
        if self._marked is not None and not self._acknowledged_again.is_set():
            self.recovery = monotonic() - self._marked
            self._acknowledged_again.set()
        if len(rows) == 1 and isinstance(answer, httpx.Response) and method != "DELETE":
            self._compare(rows[0], {value}, answer)
        return True

    async def read(self, row: Row, *, hang_ups: float = 0) -> bool | None:
        """Read the row and compare: whether it was right, None where it could not be read."""
        allowed, sent = row.possible | row.pending, len(row.sent)
        answer = await self.ask("GET", f"/developers/{row.id}", hang_ups=hang_ups)
        if not isinstance(answer, httpx.Response) or answer.status_code >= 500:
            return None
        return self._compare(row, (allowed | set(row.sent[sent:])) - row.refused, answer)

    async def ask(self, method: str, path: str, *, hang_ups: float = 0, **request: Any) -> httpx.Response | Exception:
        """The answer, or why there is none. A 5xx that is no 503 or 504, or no problem document, is `unmapped`."""
        assert self._client is not None, "within load() or open()"
        self.counts["requests"] += 1
        gives_up = self.random.random() < hang_ups
        limit = self.random.uniform(0, 0.02) if gives_up else self.patience
        started = monotonic()
        answer: httpx.Response | Exception
        try:
            async with asyncio.timeout(limit):
                answer = await self._client.request(method, self.random.choice(self.urls) + path, **request)
        except (httpx.HTTPError, TimeoutError) as error:
            answer = error
        waited = monotonic() - started
        self.longest_wait = max(self.longest_wait, waited)
        if isinstance(answer, TimeoutError):
            self.counts["hung up" if gives_up else "hung"] += 1
        if not gives_up and waited >= self.patience:
            self._example(f"{method} {path}: no answer within {self.patience:g} s")
        if isinstance(answer, httpx.Response):
            self.statuses[answer.status_code] += 1
            if answer.status_code >= 500 and not (answer.status_code in (503, 504) and _problem(answer)):
                self.counts["unmapped"] += 1
                self._example(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    def differences(self, table: Sequence[Sequence[Any]]) -> Counter[str]:
        """`lost`, `stored_though_refused` and `wrong_answers` by the table's rows: e-mail, name, specialty."""
        found: Counter[str] = Counter()
        stored = {email: (name, value) for email, name, value in table}
        for email, row in self.rows.items():
            name, value = stored.get(email, (email, None))
            if name == email and value in row.possible:
                continue
            fault = "stored_though_refused" if value in row.refused else "lost" if name == email else "wrong_answers"
            found[fault] += 1
            self._example(f"{email}: stored is {value}, {fault}; {row}")
        if strange := [email for email in stored if email.startswith(self._run) and email not in self.rows]:
            found["wrong_answers"] += len(strange)
            self._example(f"stored, and never sent: {strange[:3]}")
        return found

    def balance(self, table: Sequence[Sequence[Any]], leaked: int) -> Balance:
        found, count = self.differences(table), self.counts
        return Balance(
            requests=count["requests"],
            acknowledged=count[ACKNOWLEDGED],
            unknown=count[UNKNOWN_OUTCOME],
            lost=found["lost"],
            stored_though_refused=found["stored_though_refused"],
            wrong_answers=found["wrong_answers"] + count["wrong"],
            unmapped=count["unmapped"],
            hung=count["hung"],
            leaked=leaked,
            longest_wait=self.longest_wait,
            recovery=self.recovery,
            examples=tuple(self.examples),
        )

    def _value(self) -> str:
        self.counts["values"] += 1
        return f"value {self.counts['values']}"

    def _said(self, answer: httpx.Response | Exception) -> str:
        if isinstance(answer, NEVER_SENT):
            return REFUSED
        if isinstance(answer, Exception):
            return UNKNOWN_OUTCOME
        if answer.is_success:
            return ACKNOWLEDGED
        document = _problem(answer)
        if answer.status_code < 500 or (document and document.get("type") != UNKNOWN):
            return REFUSED
        return UNKNOWN_OUTCOME

    def _compare(self, row: Row, allowed: set[str | None], answer: httpx.Response) -> bool:
        value, right = None, answer.status_code == 404
        if answer.is_success:
            with suppress(ValueError, TypeError, KeyError):
                document = answer.json()
                value = document["specialty"]
                row.id = row.id or document["id"]
                right = (document["id"], document["email"], document["name"]) == (row.id, row.email, row.email)
        if right and value in allowed:
            return True
        self.counts["wrong"] += 1
        self._example(f"{row.email}: answered {answer.status_code} {answer.text[:300]}, allowed were {allowed}")
        return False

    def _example(self, sentence: str) -> None:
        if len(self.examples) < 10:
            self.examples.append(sentence)


def _problem(answer: httpx.Response) -> dict[str, Any] | None:
    if not answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        return None
    with suppress(ValueError):
        document = answer.json()
        return document if isinstance(document, dict) and document.get("status") == answer.status_code else None
    return None


async def balance(books: Books, service: Service, url: str, *, spare: int = 2, limit: float = 10) -> Balance:
    """Compare the books with the table in the database of `url`, once the service has come to rest.

    `leaked` are, after at most `limit` seconds: places that the pools think are in use, sessions on the server that are
    at work or in a transaction, and those beyond the pools' own and the `spare` ones of each process.
    """
    until = monotonic() + limit
    sessions = SESSIONS["postgresql" if url.startswith("postgres") else "mysql"]
    table = "SELECT email, name, specialty FROM developers"
    while True:
        found = await asyncio.to_thread(
            service.run, service.executable("python"), "-c", STATE, url, table, sessions, timeout=60
        )
        rows, ((there, busy),) = json.loads(found)
        in_use, there_may_be = await _pools(books.urls, spare)
        leaked = in_use + busy + max(0, there - there_may_be)
        if not leaked or monotonic() > until:
            return books.balance(rows, leaked)
        await asyncio.sleep(0.3)


async def _pools(urls: Sequence[str], spare: int) -> tuple[int, int]:
    """What is in use by the pools of all that answer, and how many connections they may have."""
    in_use = there_may_be = 0
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        for url in urls:
            with suppress(httpx.TransportError):
                lines = (await client.get(f"{url}/metrics")).text.splitlines()
                gauges = {
                    line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                    for line in lines
                    if line.startswith("database_pool_")
                }
                in_use += int(sum(value for name, value in gauges.items() if name.startswith("database_pool_in_use{")))
                there_may_be += spare
                there_may_be += int(
                    sum(value for name, value in gauges.items() if name.startswith("database_pool_open{"))
                )
    return in_use, there_may_be
