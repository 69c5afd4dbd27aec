"""A server that lies, as somebody between us and the real one may: it gets no password, not even a scrambled one that
was to go over TLS.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr
from pymysql.constants import CLIENT

from app.database import AccessDenied, driver
from app.settings import DatabaseSettings

PASSWORD = "s3cret"


class Liar:
    """Greets as https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html says."""

    def __init__(self, plugin: str, *, switch_to: str | None = None) -> None:
        self._plugin, self._switch_to = plugin.encode(), switch_to
        self.heard = b""

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield f"mysql://ada:{PASSWORD}@127.0.0.1:{port}/orders"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        offers = CLIENT.PROTOCOL_41 | CLIENT.SECURE_CONNECTION | CLIENT.PLUGIN_AUTH  # and no TLS
        greeting = b"\x0a8.4.0\0" + struct.pack("<I", 1) + b"a" * 8 + b"\0" + struct.pack("<H", offers & 0xFFFF)
        greeting += b"\x2d" + struct.pack("<HHB", 2, offers >> 16, 21) + bytes(10) + b"a" * 12 + b"\0"
        writer.write(self._packet(0, greeting + self._plugin + b"\0"))
        if self._switch_to and (answer := await reader.read(65536)):
            self.heard += answer
            writer.write(self._packet(2, b"\xfe" + self._switch_to.encode() + b"\0" + b"a" * 20 + b"\0"))
        self.heard += await reader.read()
        writer.close()

    @staticmethod
    def _packet(number: int, content: bytes) -> bytes:
        return struct.pack("<I", len(content))[:3] + bytes([number]) + content


async def connected(url: str) -> None:
    asking = DatabaseSettings(_env_file=None, url=SecretStr(url))
    await driver.close(await driver.connect(asking.target, asking))


async def test_a_server_without_the_tls_that_was_asked_for_hears_nothing() -> None:
    liar = Liar("mysql_native_password")
    async with liar.listen() as url:
        with pytest.raises(AccessDenied, match="offers no TLS"):
            await connected(f"{url}?ssl-mode=REQUIRED")
    assert liar.heard == b""


@pytest.mark.parametrize(
    "liar", [Liar("mysql_clear_password"), Liar("mysql_native_password", switch_to="mysql_clear_password")]
)
async def test_a_password_in_clear_text_is_not_sent_without_tls(liar: Liar) -> None:
    async with liar.listen() as url:
        with pytest.raises(AccessDenied, match="clear text, which goes over TLS or a socket only"):
            await connected(url)
    assert PASSWORD.encode() not in liar.heard
