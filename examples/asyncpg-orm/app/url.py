"""A database URL, taken apart by us and handed to the libraries as arguments.

The libraries read URLs differently and drop silently what they do not know: `ssl` options end in plaintext, sockets
in FileNotFoundError, a password with `@` or `%` in another host. What this module does not understand, it refuses.
"""

import re
from urllib.parse import unquote

from app.database import dialect
from app.database.target import Target
from app.url_options import read_options

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
        unquote(rest[1], errors="strict")
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
    options = read_options(rest[1], several_hosts=len(hosts) > 1)
    socket = options["socket"]
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
        **options,
    )


def _hosts(text: str) -> tuple[tuple[str, int], ...]:
    """`a:1,b` as pairs of host and port; brackets surround an IPv6 address. Raises ValueError on what is neither."""
    hosts = []
    for item in text.split(",") if text else ():
        found = _HOST.fullmatch(item)
        if not found:
            raise ValueError
        address, port = found[1], int(found[3] or dialect.PORT)
        name = unquote(found[2] or "", errors="strict").lower()
        if not (address or name) or "/" in name or "\0" in name or not 1 <= port <= 65535:
            raise ValueError
        name.encode("idna")  # which raises ValueError for what is no name
        hosts.append((address or name, port))
    return tuple(hosts)
