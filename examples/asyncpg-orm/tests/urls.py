"""The URL of a database with another part in the place of one: its other parts stay as they were written.

Not by urllib, whose releases differ over several hosts, one of them IPv6 (app/url.py).
"""

import re
from typing import Literal
from urllib.parse import quote, unquote

from pydantic import SecretStr

Part = Literal["userinfo", "location", "database"]

_URL = re.compile(r"[^:/]+://(?:(?P<userinfo>[^/?#]*)@)?(?P<location>[^/?#@]*)/(?P<database>[^?#]*).*", re.DOTALL)


def replaced(url: str, part: Part, text: str) -> str:
    """The URL with `text`, which is escaped as a URL wants it, as its part."""
    found = _parts(url)
    if part == "userinfo" and found["userinfo"] is None:
        part, text = "location", f"{text}@{found['location']}"
    return f"{url[: found.start(part)]}{text}{url[found.end(part) :]}"


def as_user(url: SecretStr, user: str, password: str) -> SecretStr:
    """The URL for another user."""
    return SecretStr(replaced(url.get_secret_value(), "userinfo", f"{user}:{quote(password, safe='')}"))


def beside(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    return replaced(url, "database", quote(name, safe=""))


def database_of(url: str) -> str:
    return unquote(_parts(url)["database"])


def _parts(url: str) -> re.Match[str]:
    found = _URL.fullmatch(url)
    if not found:
        raise ValueError("DATABASE_URL is no URL of a database: it ends with the database's name, behind a /")
    return found
