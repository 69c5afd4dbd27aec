"""The database that development works on: the one of `DATABASE_URL`, else the one that `make dev` keeps in .dev/. While
`make dev` runs without a `DATABASE_URL` in the environment, it is that one also where `.env` names another.

Its server runs while `make dev` does; without it a command starts it, and stops it at its end.
"""

import asyncio
import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from app.settings import InvalidSettings, load_database_settings
from dev import databases, server

DATA = server.PROJECT / ".dev"


@contextmanager
def database() -> Iterator[None]:
    """To the end of the block it is in DATABASE_URL, and answers; which one is said. Raises ServerError without one."""
    if not os.environ.get("DATABASE_URL") and (url := server.running(DATA)):  # as `make dev`, which reads no .env
        _use(url)
        _say()
        yield
    elif _is_given():
        _say()
        yield
    elif (DATA / "port").exists():
        with own_server():
            _say()
            yield
    else:  # not a new one: who forgot DATABASE_URL would work on an empty database, and never know
        raise server.ServerError("There is no database yet: start `make dev` in another terminal, or set DATABASE_URL.")


@contextmanager
def own_server() -> Iterator[None]:
    """To the end of the block the server of .dev/ runs, and its database is in DATABASE_URL. Raises ServerError."""
    with server.start(DATA) as started:
        _use(started.url)
        asyncio.run(databases.create(os.environ["DATABASE_URL"]))
        yield


def where() -> str:
    """The URL in use, without the password. Raises InvalidSettings."""
    settings = load_database_settings()
    target, scheme = (settings.target, settings.url.get_secret_value().partition(":")[0])
    user = f"{quote(target.user)}@" if target.user else ""
    return f"{scheme}://{user}{target.where}/{target.database}"


def _say() -> None:
    print(f"Database: {where()}", file=sys.stderr, flush=True)


def _is_given() -> bool:
    """Whether the environment, .env or a source of the team's has a DATABASE_URL, whatever is wrong with it."""
    try:
        load_database_settings()
    except InvalidSettings as error:
        return "DATABASE_URL is not set" not in str(error)
    return True


def _use(url: str) -> None:
    with (server.PROJECT / "pyproject.toml").open("rb") as file:
        name = tomllib.load(file)["project"]["name"]
    os.environ["DATABASE_URL"] = f"{url.rpartition('/')[0]}/{name}"
