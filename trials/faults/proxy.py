"""A TCP proxy between a service and its server that does to the connections what a network does.

It can cut a connection before, within or after what the client sends, hold back what goes one way or the other, be
slow, and lose. What is held back arrives when the network is whole again, as retransmitted packets do.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Literal

import httpx

Cut = Literal["before", "within", "after"]
"""Where a connection is cut: nothing of it passes; half of it; all of it, and not the answer."""
RETRANSMISSION = 0.2  # seconds: https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html, tcp_rto_min_us


class Connection:
    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.ends = (client, server)
        self.answer_is_due = False
        self.loses_answer = False

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()


class Proxy:
    """`hurt` says of each thing that a client sends where to cut, if at all; `struck` counts what was done."""

    def __init__(self, server_url: str) -> None:
        self.target = httpx.URL(server_url)
        self.hurt: Callable[[bytes], Cut | None] | None = None
        self.delay = self.loss = 0.0
        self.struck = 0
        self.to_server, self.to_client = asyncio.Event(), asyncio.Event()
        self.to_server.set()
        self.to_client.set()
        self.connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """The URL by way of this proxy. May be left and entered again, also at another address."""
        server = await asyncio.start_server(self._serve, host, port)
        try:
            port = server.sockets[0].getsockname()[1]
            yield str(self.target.copy_with(host=host, port=port))
        finally:
            server.close()
            self.cut()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut all connections."""
        for connection in list(self.connections):
            connection.cut()

    def cut_one_that_waits(self) -> None:
        """Cut a connection on which an answer is due."""
        if waiting := [each for each in self.connections if each.answer_is_due]:
            random.choice(waiting).cut()
            self.struck += 1

    @contextmanager
    def silent(self, *directions: asyncio.Event) -> Iterator[None]:
        """Nothing passes `to_server` or `to_client`."""
        for direction in directions:
            direction.clear()
        self.struck += len(self.connections)
        try:
            yield
        finally:
            for direction in directions:
                direction.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            from_server, to_server = await asyncio.open_connection(self.target.host, self.target.port)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        connection = Connection(writer, to_server)
        self.connections.add(connection)
        pumps = [
            asyncio.create_task(self._requests(connection, reader, to_server)),
            asyncio.create_task(self._answers(connection, from_server, writer)),
        ]
        try:
            with suppress(asyncio.CancelledError):  # when one side is done, so is the connection
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.connections.discard(connection)
            for end in connection.ends:
                end.close()

    async def _requests(
        self, connection: Connection, reader: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            await self._pass(self.to_server)
            cut = self.hurt(data) if self.hurt else None
            self.struck += cut is not None
            if cut == "before":
                return connection.cut()
            if cut == "within":
                server.write(data[: len(data) // 2])
                await server.drain()
                return connection.cut()
            connection.loses_answer = cut == "after"
            connection.answer_is_due = True
            server.write(data)
            await server.drain()

    async def _answers(
        self, connection: Connection, reader: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            if connection.loses_answer:
                return connection.cut()
            await self._pass(self.to_client)
            connection.answer_is_due = False
            client.write(data)
            await client.drain()

    async def _pass(self, direction: asyncio.Event) -> None:
        await direction.wait()
        if self.delay:
            lost = random.random() < self.loss
            self.struck += lost
            await asyncio.sleep(self.delay + lost * RETRANSMISSION)


def commits(*where: Cut, share: float) -> Callable[[bytes], Cut | None]:
    """Cut a share of the COMMITs, at each of these places in turn."""
    return lambda sent: random.choice(where) if _is_commit(sent) and random.random() < share else None


def anything(*where: Cut, share: float) -> Callable[[bytes], Cut | None]:
    """Cut a share of all that is sent."""
    return lambda sent: random.choice(where) if random.random() < share else None


def _is_commit(sent: bytes) -> bool:
    """By its end: PostgreSQL's commands end with a NUL, and a BEGIN has READ COMMITTED in it."""
    return sent.rstrip(b"\0").endswith(b"COMMIT")
