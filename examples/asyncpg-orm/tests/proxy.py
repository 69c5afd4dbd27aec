"""A TCP proxy between the service and its server: it counts round trips, and can swallow and lose what is sent."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from pydantic import SecretStr

from app.url import parse_url
from tests.urls import replaced


def reserved_port() -> socket.socket:
    """A port of this machine where nothing listens, and nothing else will until it is closed."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    return reserved


def by_way_of(url: SecretStr, port: socket.socket) -> SecretStr:
    """The same URL with another address."""
    return SecretStr(replaced(url.get_secret_value(), "location", f"127.0.0.1:{port.getsockname()[1]}"))


class Proxy:
    """`round_trips` counts how often a client spoke after the server had; while `silent`, nothing is passed on.

    A command that ends with `loses_answer_to` reaches the server; instead of its answer the client gets the end of its
    connection. After the answer to one that ends with `falls_silent_after` it is silent. What the server says is passed
    on in pieces of `piece` bytes at most.
    """

    def __init__(self, url: SecretStr) -> None:
        self._url = url
        self._server = parse_url(url.get_secret_value()).hosts[0]
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self.round_trips = 0
        self.connections = 0
        self.loses_answer_to: bytes | None = None
        self.falls_silent_after: bytes | None = None
        self.piece = 65536
        self._passing = asyncio.Event()
        self._passing.set()

    @asynccontextmanager
    async def listen(self, port: socket.socket | None = None) -> AsyncIterator[SecretStr]:
        """The URL of the database by way of this proxy, at a reserved port or at one of its own."""
        port = port or reserved_port()
        server = await asyncio.start_server(self._serve, sock=port)
        try:
            yield by_way_of(self._url, port)
        finally:
            await asyncio.sleep(0.01)  # asyncio forgets a socket that it accepts while it closes the server
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def fall_silent(self) -> None:
        self._passing.clear()

    def speak_again(self) -> None:
        self._passing.set()

    def reset(self) -> None:
        """End all connections as a firewall or a host that crashed does: at once, and by no goodbye."""
        for client in self._clients:
            linger = struct.pack("ii", 1, 0)
            client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._clients.add(writer)
        self.connections += 1
        to_server: asyncio.StreamWriter | None = None
        try:
            from_server, to_server = await asyncio.open_connection(*self._server)
            server_spoke, lost, silencing = True, False, False

            async def answers() -> None:
                nonlocal server_spoke
                while (data := await from_server.read(self.piece)) and not lost:
                    await self._passing.wait()
                    server_spoke = True
                    writer.write(data)
                    await writer.drain()
                    if silencing:
                        self.fall_silent()
                writer.close()

            async with asyncio.TaskGroup() as group:
                answering = group.create_task(answers())
                while data := await reader.read(65536):
                    await self._passing.wait()
                    self.round_trips += server_spoke
                    server_spoke = False
                    said = data.rstrip(b"\0")
                    lost = self.loses_answer_to is not None and said.endswith(self.loses_answer_to)
                    silencing = self.falls_silent_after is not None and said.endswith(self.falls_silent_after)
                    to_server.write(data)
                    await to_server.drain()
                answering.cancel()
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            pass  # one side is gone, and so is this connection
        finally:
            self._clients.discard(writer)
            for end in (writer, to_server):
                if end is not None:
                    end.close()
                    with suppress(OSError, asyncio.CancelledError):
                        await end.wait_closed()
