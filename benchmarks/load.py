"""The load generator, a process of its own: a closed loop of clients, or an open one at a constant rate.

In the open loop a request is due at a fixed moment, whether the service keeps up or not, and its latency counts from
that moment: a generator that waits for answers would hide the queue (https://github.com/giltene/wrk2#readme). Written
here since no packaged generator has a constant rate, latencies by status, and bodies that differ.

Reads a Job as JSON from standard input, prints a Load as JSON.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Literal, cast

import uvloop
from workload import REQUESTS

PATIENCE = 30.0
"""Seconds after the end in which an answer is still waited for, before the request counts as lost."""

KEPT_CONNECTIONS = 4_000
"""Open before the first request at a constant rate, as a proxy keeps them; in overload further ones are opened."""

MOST_CONNECTIONS = 20_000


@dataclass(frozen=True)
class Job:
    """`clients` send again as soon as they are answered, or `rate` requests a second are sent: one of the two.

    What is answered in the first `warm_up` seconds does not count; `seconds` are measured after them.
    """

    port: int
    requests: str
    seconds: float
    warm_up: float = 0.3
    clients: int | None = None
    rate: float | None = None
    salt: int = 0


@dataclass
class Load:
    """What was answered in the measured `seconds`, by status, with latencies in milliseconds.

    `total` counts the answers before and after too; `cpu` is what the generator itself used, in seconds.
    """

    seconds: float
    total: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    p50: dict[str, float] = field(default_factory=dict)
    p99: dict[str, float] = field(default_factory=dict)
    cpu: float = 0.0

    @property
    def succeeded(self) -> int:
        return sum(count for status, count in self.answers.items() if status.startswith("2"))

    @property
    def failed(self) -> int:
        """Refused, answered with an error, or not at all."""
        return sum(self.answers.values()) - self.succeeded + self.lost

    def latency(self, name: Literal["p50", "p99"]) -> float:
        """Of the answers that were a success, 0 when none was: a candidate answers each kind with one status."""
        latencies: dict[str, float] = getattr(self, name)
        return next((latency for status, latency in latencies.items() if status.startswith("2")), 0.0)


class Generator:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.loop = asyncio.get_running_loop()
        self.requests: Iterator[bytes] = REQUESTS[job.requests](job.salt)
        self.idle: list[Client] = []
        self.connections = 0
        self.under_way = 0
        self.total = self.lost = 0
        self.latencies: dict[int, list[float]] = {}
        self.begin = self.end = 0.0

    async def run(self) -> Load:
        clients = [await self.connect() for _ in range(self.job.clients or KEPT_CONNECTIONS)]
        self.begin = perf_counter() + self.job.warm_up
        self.end = self.begin + self.job.seconds
        if self.job.clients:
            for client in clients:
                client.send(perf_counter())
            await asyncio.sleep(self.end - perf_counter())
        else:
            self.idle = clients
            await self.at_a_constant_rate()
        until = perf_counter() + PATIENCE
        while self.under_way and perf_counter() < until:  # noqa: ASYNC110  # an event would cost each answer
            await asyncio.sleep(0.01)
        self.lost += self.under_way
        return self.result()

    async def at_a_constant_rate(self) -> None:
        assert self.job.rate
        start, sent = perf_counter(), 0
        opening: set[asyncio.Task[None]] = set()
        while (now := perf_counter()) < self.end:
            while (due := start + sent / self.job.rate) <= now:
                sent += 1
                if self.idle:
                    self.idle.pop().send(due)
                elif self.connections < MOST_CONNECTIONS:
                    opening.add(task := self.loop.create_task(self.connect_and_send(due)))
                    task.add_done_callback(opening.discard)
                else:
                    self.lost += 1
            await asyncio.sleep(0.001)
        await asyncio.gather(*opening)

    async def connect(self) -> "Client":
        self.connections += 1
        _, client = await self.loop.create_connection(lambda: Client(self), "127.0.0.1", self.job.port)
        return client

    async def connect_and_send(self, due: float) -> None:
        try:
            (await self.connect()).send(due)
        except OSError:
            self.lost += 1

    def answered(self, client: "Client", status: int) -> None:
        self.under_way -= 1
        self.total += 1
        now = perf_counter()  # uvloop's clock has milliseconds only
        if self.begin <= now < self.end:
            self.latencies.setdefault(status, []).append(now - client.due)
        if self.job.clients is None:
            self.idle.append(client)
        elif now < self.end:
            client.send(now)

    def result(self) -> Load:
        load = Load(self.job.seconds, self.total, lost=self.lost)
        for status, latencies in sorted(self.latencies.items()):
            latencies.sort()
            load.answers[str(status)] = len(latencies)
            load.p50[str(status)] = 1000 * latencies[len(latencies) // 2]
            load.p99[str(status)] = 1000 * latencies[len(latencies) * 99 // 100]
        used = resource.getrusage(resource.RUSAGE_SELF)
        load.cpu = used.ru_utime + used.ru_stime
        return load


class Client(asyncio.Protocol):
    """One connection that is kept alive. Answers have a Content-Length, as those of all candidates do."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.due = 0.0
        self.waiting = False
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, due: float) -> None:
        self.due, self.waiting = due, True
        self.generator.under_way += 1
        self.transport.write(next(self.generator.requests))

    def data_received(self, data: bytes) -> None:
        received = self.received = self.received + data
        if (end_of_head := received.find(b"\r\n\r\n")) < 0:
            return
        head = received[:end_of_head].lower()
        _, _, length = head.partition(b"\r\ncontent-length:")
        if len(received) < end_of_head + 4 + int(length.partition(b"\r\n")[0]):
            return
        self.received, self.waiting = b"", False
        self.generator.answered(self, int(received[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        generator = self.generator
        generator.connections -= 1
        if self in generator.idle:
            generator.idle.remove(self)
        if self.waiting:
            generator.under_way -= 1
            generator.lost += 1


async def main() -> None:
    print(json.dumps(asdict(await Generator(Job(**json.load(sys.stdin))).run())))


if __name__ == "__main__":
    uvloop.run(main())
