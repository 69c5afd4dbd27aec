"""Where a database is and how to get in: hosts or a socket, who, by which password, and which TLS."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal, TypeVar

from app.database.dialect import DIRECT_TLS, PORT
from app.database.errors import AccessDenied
from app.database.password import PasswordSource

T = TypeVar("T")

TlsMode = Literal["disable", "require", "verify-ca", "verify-full"]


@dataclass(frozen=True)
class Target:
    """Where a database is and how to get in. `socket` excludes `hosts`; no password ever prints.

    `session_attrs` says which of several hosts is wanted, in libpq's words: without it the one that takes writes.
    `certificate` and `key` are the client's.
    """

    hosts: tuple[tuple[str, int], ...]
    user: str | None
    password: str | None = field(repr=False)
    database: str
    socket: str | None = None
    socket_port: int = PORT
    session_attrs: str = "any"
    tls: TlsMode = "disable"
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    direct_tls: bool = False
    application_name: str | None = None
    password_source: PasswordSource | None = field(default=None, repr=False, compare=False)

    @property
    def where(self) -> str:
        """The socket, or the hosts with their ports, as a URL has them."""
        return self.socket or ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )

    async def authenticated(
        self, host: str, port: int, open_with: Callable[[ssl.SSLContext | None, str], Awaitable[T]]
    ) -> T:
        """What `open_with(tls, password)` opens at one of the hosts, by what their files and sources say now.

        Raises what it raises; AccessDenied for files that cannot be used, Unavailable for a password that is missing.
        """
        open_by = partial(open_with, await self._tls_of_now())
        if self.password_source is None:
            return await open_by(self.password or "")
        return await self.password_source.connect((host, port, self.user), open_by)

    async def _tls_of_now(self) -> ssl.SSLContext | None:
        try:
            return await asyncio.to_thread(self.ssl_context)
        except OSError:  # perhaps between a new certificate and its key
            await asyncio.sleep(0.1)
        try:
            return await asyncio.to_thread(self.ssl_context)
        except OSError as error:
            raise AccessDenied("A file with a certificate or a key that the URL names cannot be used") from error

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context for a connection: None is plaintext, as the URL asked for. Raises OSError for an unusable file.

        The files may be replaced: it looks at them each time, and reads them when they are others.
        """
        if self.tls == "disable":
            return None
        files = [Path(file).stat() for file in (self.ca, self.certificate, self.key) if file]
        state = tuple((file.st_ino, file.st_mtime_ns) for file in files)
        return _ssl_context(self, state)


@lru_cache(maxsize=16)  # reading the system's certificates takes long
def _ssl_context(to: Target, state: tuple[tuple[int, int], ...]) -> ssl.SSLContext:
    if to.tls == "require":  # encrypted, but not authenticated: what libpq and MySQL mean by the word
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context = ssl.create_default_context(cafile=to.ca)
        context.check_hostname = to.tls == "verify-full"
        # On since Python 3.13: it refuses the certificates that MySQL makes for itself, and those of many companies.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if to.certificate:
        # Without a password OpenSSL would ask a terminal.
        context.load_cert_chain(to.certificate, to.key, password=lambda: to.key_password or "")
    if to.direct_tls:
        context.set_alpn_protocols(DIRECT_TLS)
    return context
