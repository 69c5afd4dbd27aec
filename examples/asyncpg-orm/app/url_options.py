"""The options of a database URL: each is understood, or refused by its name with what to write instead.

None is dropped without a word, since what a library drops is often TLS.
"""

from typing import Any
from urllib.parse import parse_qsl

from app.database import dialect, provider_options
from app.database.target import TlsMode

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
_SESSION_ATTRS = ("any", "primary", "standby")  # libpq also knows those that ask for a setting: ours are all read-only
# By what they mean: libpq's names, MySQL's, and the driver's own.
NAMES: dict[str, tuple[str, ...]] = {
    "tls": ("sslmode", "ssl-mode"),
    "ca": ("sslrootcert", "ssl-ca"),
    "certificate": ("sslcert", "ssl-cert"),
    "key": ("sslkey", "ssl-key"),
    "key_password": ("sslpassword",),
    "socket": ("host", "unix_socket"),
    **{meaning: (name,) for meaning, name in provider_options.OWN.items()},
}
_MEANINGS = {name: meaning for meaning, names in NAMES.items() for name in names}
INSTEAD = {name: advice for advice, names in provider_options.INSTEAD.items() for name in names}


def read_options(query: str, *, several_hosts: bool) -> dict[str, Any]:
    """What the options say of a Target, by the names of its fields. Raises ValueError with one sentence.

    It repeats the name of an option that is known, and nothing else of the URL.
    """
    given: dict[str, str] = {}
    for name, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True, errors="strict"):
        known = name.lower()
        if value.lower() in provider_options.IDLE.get(known, ()):
            continue
        if known in INSTEAD:
            raise ValueError(f"instead of the option {known} {INSTEAD[known]}")
        if name not in _MEANINGS or _MEANINGS[name] in given:
            names = ", ".join(_MEANINGS)
            raise ValueError(f"an option is unknown or stands twice: use {names}, or the settings beside the URL")
        given[_MEANINGS[name]] = value
    return {
        **_of_tls(given),
        "socket": given.get("socket"),
        "socket_port": _socket_port(given),
        "session_attrs": _session_attrs(given, "primary" if several_hosts else "any"),
        "application_name": given.get("application_name"),
    }


def _of_tls(given: dict[str, str]) -> dict[str, Any]:
    ca, certificate, key, key_password = (given.get(name) for name in ("ca", "certificate", "key", "key_password"))
    tls = _TLS_MODES.get(given.get("tls", "verify-full" if ca == "system" else "disable").lower())
    if tls is None:
        raise ValueError("sslmode must be disable, require, verify-ca or verify-full: others fall back to plaintext")
    if ca is not None and not tls.startswith("verify"):
        raise ValueError("a CA is used by sslmode=verify-ca and sslmode=verify-full only: add one of them")
    if ca == "system" and tls != "verify-full":
        raise ValueError("the system's authorities sign for everybody: write sslmode=verify-full beside them")
    if certificate is not None and tls == "disable":
        raise ValueError("a client's certificate is shown over TLS only: add sslmode=verify-full")
    if certificate is None and (key is not None or key_password is not None):
        raise ValueError("a key belongs to a certificate of the client: add sslcert")
    negotiation = given.get("negotiation", "postgres")
    if negotiation not in ("postgres", "direct") or (negotiation == "direct" and tls == "disable"):
        raise ValueError("sslnegotiation must be postgres, or direct beside an sslmode that asks for TLS")
    return {
        "tls": tls,
        "ca": None if ca == "system" else ca,
        "certificate": certificate,
        "key": key,
        "key_password": key_password,
        "direct_tls": negotiation == "direct",
    }


def _socket_port(given: dict[str, str]) -> int:
    socket, port = given.get("socket"), given.get("port", str(dialect.PORT))
    if socket is not None and not socket.startswith("/"):
        raise ValueError("a socket is an absolute path; the name of a host stands before the database's")
    if not port.isdecimal() or not 1 <= int(port) <= 65535 or ("port" in given and not socket):
        raise ValueError("the option port is a number and stands beside a socket; a host's port stands behind its name")
    return int(port)


def _session_attrs(given: dict[str, str], default: str) -> str:
    wanted = given.get("session_attrs", default)
    if wanted not in _SESSION_ATTRS:
        raise ValueError("target_session_attrs must be any, primary or standby: for read-write write primary")
    return wanted
