"""The service's settings: each is an environment variable, and a git-ignored `.env` is read in development.

A value that cannot be used stops the start with one sentence that names the variable; no secret is ever printed.
"""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.database.options import IsolationLevel
from app.database.target import Target
from app.url import parse_url


def _usable_url(url: SecretStr) -> SecretStr:
    target = parse_url(url.get_secret_value())
    try:
        target.ssl_context()
    except OSError:
        raise ValueError("the file with the CA that the URL names cannot be used") from None
    return url


def _never_or_seconds(value: int) -> int:
    if value != -1 and not 1 <= value <= 86400:
        raise ValueError("give -1 (never) or seconds from 1 to 86400")
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_usable_url)]


SERVICE_NAME = "orders-api"

# An empty variable is one that is not set: Compose and CI systems cannot leave one out.
_SOURCES = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)


class DatabaseSettings(BaseSettings):
    """`DATABASE_*`. Times are in seconds; docs/database.md says how to choose the pool's numbers."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_", **_SOURCES)

    url: DatabaseUrl
    replica_url: DatabaseUrl | None = None
    pool_size: int = Field(10, ge=1, le=1000)
    max_overflow: int = Field(10, ge=0, le=1000)
    pool_timeout: float = Field(5.0, gt=0, le=3600)
    pool_recycle: Annotated[int, AfterValidator(_never_or_seconds)] = 3600
    pool_pre_ping: bool = True
    external_pooler: bool = False
    connect_timeout: float = Field(5, gt=0, le=3600)
    statement_timeout: float = Field(10, gt=0, le=3600)
    transaction_timeout: float = Field(20, gt=0, le=3600)
    startup_timeout: float = Field(30, ge=0, le=3600)
    isolation_level: IsolationLevel = "READ COMMITTED"

    @property
    def target(self) -> Target:
        return parse_url(self.url.get_secret_value())

    @property
    def replica_target(self) -> Target | None:
        return parse_url(self.replica_url.get_secret_value()) if self.replica_url else None


class Settings(BaseSettings):
    """What the service reads once, at start. A team's own settings: app/extensions.py."""

    model_config = SettingsConfigDict(**_SOURCES)

    web_concurrency: int = Field(1, ge=1)
    database: Annotated[DatabaseSettings, NoDecode]  # always given: a variable DATABASE is somebody else's


class InvalidSettings(Exception):
    """What is wrong with the environment, in one sentence."""


def load_settings(kind: type[Settings] = Settings) -> Settings:
    """The settings of this process. Raises InvalidSettings with a sentence that names each variable at fault."""
    try:
        return kind(database=DatabaseSettings())
    except ValidationError as error:
        prefix = "DATABASE_" if error.title == DatabaseSettings.__name__ else ""
        raise InvalidSettings("; ".join(_sentence(prefix, problem) for problem in error.errors())) from None


def _sentence(prefix: str, problem: ErrorDetails) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # of several together: a team's model_validator
        return message
    name = f"{prefix}{problem['loc'][0]}".upper()
    return f"{name} is not set" if problem["type"] == "missing" else f"{name} cannot be used: {message}"
