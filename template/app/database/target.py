"""Where a database is and how to get in: hosts or a socket, who, and which TLS."""

import ssl
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from app.database.dialect import PORT

TlsMode = Literal["disable", "require", "verify-ca", "verify-full"]


@dataclass(frozen=True)
class Target:
    """Where a database is and how to get in. `socket` excludes `hosts`; the password never prints.

    `session_attrs` says which of several hosts is wanted, in libpq's words: without it the one that takes writes.
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

    @property
    def where(self) -> str:
        """The socket, or the hosts with their ports, as a URL has them."""
        return self.socket or ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context for a connection: None is plaintext, as the URL asked for. Raises OSError for an unusable CA."""
        return None if self.tls == "disable" else _ssl_context(self.tls, self.ca)


@cache  # reading the system's certificates for each connection would block the event loop
def _ssl_context(tls: TlsMode, ca: str | None) -> ssl.SSLContext:
    if tls == "require":  # encrypted, but not authenticated: what libpq and MySQL mean by the word
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = tls == "verify-full"
    # On since Python 3.13: it refuses the certificates that MySQL makes for itself, and those of many companies.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
