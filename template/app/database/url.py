"""A database URL, taken apart by us and handed to the libraries as arguments.

The libraries read URLs differently and drop silently what they do not know: `ssl` options end in plaintext, sockets
in FileNotFoundError, a password with `@` or `%` in another host. What this module does not understand, it refuses.
"""

import ssl
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from app.database import driver

TlsMode = Literal["disable", "require", "verify-ca", "verify-full"]

# libpq's `sslmode` and MySQL's `ssl-mode`. The modes that fall back to plaintext protect nothing and are refused.
_TLS_MODES: dict[str, TlsMode] = {
    "disable": "disable",
    "disabled": "disable",
    "require": "require",
    "required": "require",
    "verify-ca": "verify-ca",
    "verify_ca": "verify-ca",
    "verify-full": "verify-full",
    "verify_identity": "verify-full",
}
_TLS_MODE_OPTIONS = ("sslmode", "ssl-mode")
_TLS_CA_OPTIONS = ("sslrootcert", "ssl-ca")
_SOCKET_OPTIONS = ("host", "unix_socket")


@dataclass(frozen=True)
class Target:
    """Where a database is and how to get in. `socket` excludes `hosts`; the password never prints."""

    hosts: tuple[tuple[str, int], ...]
    user: str | None
    password: str | None = field(repr=False)
    database: str
    socket: str | None = None
    tls: TlsMode = "disable"
    ca: str | None = None

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context for a connection: None is plaintext, as the URL asked for."""
        if self.tls == "disable":
            return None
        context = ssl.create_default_context(cafile=self.ca)
        context.check_hostname = self.tls == "verify-full"
        if self.tls == "require":  # encrypted, but not authenticated: what libpq and MySQL mean by the word
            context.verify_mode = ssl.CERT_NONE
        return context


def parse_url(url: str) -> Target:
    """The parts of a URL. Raises ValueError with one sentence, which never repeats the URL or a part of it."""
    schemes = " or ".join(f"{scheme}://" for scheme in driver.SCHEMES)
    example = f"{driver.SCHEMES[0]}://user:password@host:{driver.PORT}/database"
    try:
        parts = urlsplit(url)
        hosts = _hosts(parts.netloc.rpartition("@")[2])
    except ValueError:
        raise ValueError(f"write {example}, with %-escapes for special characters in the password") from None
    if parts.scheme.partition("+")[0] not in driver.SCHEMES:
        raise ValueError(f"this service talks to {driver.SERVER}: the URL begins with {schemes}")
    if parts.scheme.partition("+")[2] not in ("", driver.NAME):
        raise ValueError(f"this service uses {driver.NAME}: write {example}")
    if not (database := unquote(parts.path.removeprefix("/"))) or parts.fragment:
        raise ValueError(f"the name of the database is missing or unreadable: write {example}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    socket = _option(options, _SOCKET_OPTIONS)
    mode = (_option(options, _TLS_MODE_OPTIONS) or "disable").lower()
    ca = _option(options, _TLS_CA_OPTIONS)
    if options:
        known = ", ".join((*_TLS_MODE_OPTIONS, *_TLS_CA_OPTIONS, *_SOCKET_OPTIONS))
        raise ValueError(f"the option {min(options)!r} is not known here: use {known}, or the settings beside the URL")
    if mode not in _TLS_MODES:
        raise ValueError("sslmode must be disable, require, verify-ca or verify-full: others fall back to plaintext")
    if not hosts and not socket:
        raise ValueError(f"the host is missing: write {example}")
    if len(hosts) > 1 and not driver.SEVERAL_HOSTS:
        raise ValueError("name one host: a proxy or a DNS name in front of several follows their failover")
    userinfo = parts.netloc.rpartition("@")[0]
    user, has_password, password = userinfo.partition(":")
    return Target(
        hosts=() if socket else hosts,
        user=unquote(user) or None,
        password=unquote(password) if has_password else None,
        database=database,
        socket=socket,
        tls=_TLS_MODES[mode],
        ca=ca,
    )


def _hosts(text: str) -> tuple[tuple[str, int], ...]:
    """`a:1,b` as pairs of host and port; brackets surround an IPv6 address. Raises ValueError on a bad port."""
    hosts = []
    for item in filter(None, text.split(",")):
        parts = urlsplit(f"//{item}")
        if not parts.hostname:
            raise ValueError(item)
        hosts.append((unquote(parts.hostname), driver.PORT if parts.port is None else parts.port))
    return tuple(hosts)


def _option(options: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := options.pop(name, None)) is not None), None)
