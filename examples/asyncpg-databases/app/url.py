"""A database URL, taken apart by us and handed to the libraries as arguments.

The libraries read URLs differently and drop silently what they do not know: `ssl` options end in plaintext, sockets
in FileNotFoundError, a password with `@` or `%` in another host. What this module does not understand, it refuses.
"""

import re
from typing import TypeVar
from urllib.parse import parse_qsl, unquote

from app.database import dialect
from app.database.target import Target, TlsMode

Default = TypeVar("Default")

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
_SOCKET_PORT_OPTIONS = ("port",) if dialect.SOCKET_HAS_PORT else ()
_HOST_OPTIONS = ("target_session_attrs",) if dialect.SEVERAL_HOSTS else ()
_SESSION_ATTRS = ("any", "primary", "standby")  # libpq also knows those that ask for a setting: ours are all read-only
_OPTIONS = (*_TLS_MODE_OPTIONS, *_TLS_CA_OPTIONS, *_SOCKET_OPTIONS, *_SOCKET_PORT_OPTIONS, *_HOST_OPTIONS)
# Not by urlsplit: its releases differ in what they make of several hosts, and drop some characters without a word.
_URL = re.compile(
    r"([a-z]+)(?:\+([a-z0-9]+))?://(?:([^/?#\s]*)@)?([^@/?#\s]*)(?:/([^?#@\s]*))?(?:\?([^#@\s]*))?(?:#([^@\s]*))?", re.I
)
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::(\d+))?", re.I)


def parse_url(url: str) -> Target:
    """The parts of a URL. Raises ValueError with one sentence, which never repeats the URL or a part of it."""
    example = f"{dialect.SCHEMES[0]}://user:password@host:{dialect.PORT}/database"
    # An @ behind the host: the password has a special character, and this is the rest of it.
    advice = f"write {example}, with %-escapes for special characters in the password"
    found = _URL.fullmatch(url.strip())  # a file or a secret often ends with a newline
    if not found and "://" in url:
        raise ValueError(advice)
    scheme, library, userinfo, location, *rest = found.groups(default="") if found else ("",) * 7
    try:
        user, has_password, password = userinfo.partition(":")
        user, password, database = (unquote(text, errors="strict") for text in (user, password, rest[0]))
        hosts = _hosts(location)
        given = parse_qsl(rest[1], keep_blank_values=True, errors="strict")
    except ValueError:
        raise ValueError(advice) from None
    scheme, library = scheme.lower(), library.lower()
    if scheme not in dialect.SCHEMES:
        schemes = " or ".join(f"{scheme}://" for scheme in dialect.SCHEMES)
        raise ValueError(f"this service talks to {dialect.SERVER}: the URL begins with {schemes}")
    if library not in ("", dialect.NAME):
        raise ValueError(f"this service uses {dialect.NAME}: write {example}")
    if not database or rest[2]:
        raise ValueError(f"the name of the database is missing or unreadable: write {example}")
    options = dict(given)
    socket = _option(options, _SOCKET_OPTIONS, None)
    mode = _TLS_MODES.get(_option(options, _TLS_MODE_OPTIONS, "disable").lower())
    ca = _option(options, _TLS_CA_OPTIONS, None)
    port = _option(options, _SOCKET_PORT_OPTIONS, str(dialect.PORT))
    session_attrs = _option(options, _HOST_OPTIONS, "primary" if len(hosts) > 1 else "any")
    if options or len(given) != len(dict(given)):
        known = ", ".join(_OPTIONS)
        raise ValueError(f"an option is unknown or stands twice: use {known}, or the settings beside the URL")
    if mode is None:
        raise ValueError("sslmode must be disable, require, verify-ca or verify-full: others fall back to plaintext")
    if ca is not None and not mode.startswith("verify"):
        raise ValueError("a CA is used by sslmode=verify-ca and sslmode=verify-full only: add one of them")
    if socket is not None and not socket.startswith("/"):
        raise ValueError("a socket is an absolute path; the name of a host stands before the database's")
    if not port.isdecimal() or not 1 <= int(port) <= 65535 or ("port" in dict(given) and not socket):
        raise ValueError("the option port is a number and stands beside a socket; a host's port stands behind its name")
    if session_attrs not in _SESSION_ATTRS:
        raise ValueError("target_session_attrs must be any, primary or standby")
    if socket and hosts not in ((), (("localhost", dialect.PORT),)):
        raise ValueError("name a host or a socket, not both")
    if not hosts and not socket:
        raise ValueError(f"the host is missing: write {example}")
    if len(hosts) > 1 and not dialect.SEVERAL_HOSTS:
        raise ValueError("name one host: a proxy or a DNS name in front of several follows their failover")
    return Target(
        hosts=() if socket else hosts,
        user=user or None,
        password=password if has_password else None,
        database=database,
        socket=socket,
        socket_port=int(port),
        session_attrs=session_attrs,
        tls=mode,
        ca=ca,
    )


def _hosts(text: str) -> tuple[tuple[str, int], ...]:
    """`a:1,b` as pairs of host and port; brackets surround an IPv6 address. Raises ValueError on what is neither."""
    hosts = []
    for item in text.split(",") if text else ():
        found = _HOST.fullmatch(item)
        if not found:
            raise ValueError
        address, name, port = found[1], unquote(found[2] or "", errors="strict").lower(), int(found[3] or dialect.PORT)
        if not (address or name) or "/" in name or not 1 <= port <= 65535:
            raise ValueError
        hosts.append((address or name, port))
    return tuple(hosts)


def _option(options: dict[str, str], names: tuple[str, ...], default: Default) -> str | Default:
    return next((options.pop(name) for name in names if name in options), default)
