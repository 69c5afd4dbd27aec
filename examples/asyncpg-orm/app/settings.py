"""The service's settings: each is an environment variable, and a git-ignored `.env` is read in development.

A value that cannot be used stops the start with one sentence that names the variable; no secret is ever printed.
"""

from dataclasses import replace
from functools import cache
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from app.database.options import IsolationLevel
from app.database.password import PasswordSource, in_file
from app.database.target import Target
from app.setting_types import DatabaseUrl, LogLevels, NeverOrSeconds, ReadableFile, variable_of
from app.url import parse_url

Read = TypeVar("Read", bound=BaseSettings)

SERVICE_NAME = "orders-api"

# An empty variable is one that is not set: Compose and CI systems cannot leave one out.
_SOURCES = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)


class DatabaseSettings(BaseSettings):
    """`DATABASE_*`. Times are in seconds; docs/database.md says how to choose the pool's numbers."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_", **_SOURCES)

    url: DatabaseUrl
    replica_url: DatabaseUrl | None = None
    password_file: ReadableFile | None = None
    pool_size: int = Field(10, ge=1, le=1000)
    max_overflow: int = Field(10, ge=0, le=1000)
    pool_timeout: float = Field(5.0, gt=0, le=3600)
    pool_recycle: NeverOrSeconds = 3600
    pool_pre_ping: bool = True
    external_pooler: bool = False
    connect_timeout: float = Field(5, gt=0, le=3600)
    statement_timeout: float = Field(10, gt=0, le=3600)
    transaction_timeout: float = Field(20, gt=0, le=3600)
    startup_timeout: float = Field(30, ge=0, le=3600)
    isolation_level: IsolationLevel = "READ COMMITTED"
    replica_fallback: bool = False
    replica_max_lag: float | None = Field(None, gt=0, le=3600)
    replica_read_your_writes: bool = False

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        for name, url in (("DATABASE_URL", self.url), ("DATABASE_REPLICA_URL", self.replica_url)):
            if self.password_file and url and parse_url(url.get_secret_value()).password is not None:
                raise ValueError(f"{name} and DATABASE_PASSWORD_FILE both give a password: leave it out of the URL")
        return self

    @model_validator(mode="after")
    def _bounded_lag(self) -> Self:
        if self.replica_read_your_writes and self.replica_max_lag is None:
            raise ValueError("DATABASE_REPLICA_READ_YOUR_WRITES needs a bound: set DATABASE_REPLICA_MAX_LAG too")
        return self

    @property
    def target(self) -> Target:
        return self._target(self.url)

    @property
    def replica_target(self) -> Target | None:
        return self._target(self.replica_url) if self.replica_url else None

    def _target(self, url: SecretStr) -> Target:
        """With the source of a password that the URL does not have: the file, else the team's function."""
        # which may import this module, for its Settings
        from app import extensions

        target = parse_url(url.get_secret_value())
        ask = in_file(self.password_file) if self.password_file else getattr(extensions, "database_password", None)
        return replace(target, password_source=PasswordSource(ask)) if ask and target.password is None else target


class Settings(BaseSettings):
    """What the service reads once, at start. A team's own settings: app/extensions.py."""

    model_config = SettingsConfigDict(**_SOURCES)

    web_concurrency: int = Field(1, ge=1)
    shutdown_delay: float = Field(0, ge=0, le=3600)
    api_docs: bool = True
    max_body_size: int = Field(1_048_576, ge=0)
    max_header_fields: int = Field(100, ge=1)
    log_level: LogLevels = "INFO"
    database: Annotated[DatabaseSettings, NoDecode]  # always given: a variable DATABASE is somebody else's


class InvalidSettings(Exception):
    """What is wrong with the environment, in one sentence."""


def load_settings(kind: type[Settings] | None = None, **options: Any) -> Settings:
    """The settings of this process, which are the team's where it has some (app/extensions.py) or of another `kind`.

    `options` are those of pydantic-settings: without .env, by `_env_file=None`. Raises InvalidSettings with a sentence
    that names each variable at fault.
    """
    return _read(kind or _of_the_team(), database=load_database_settings(kind, **options), **options)


def load_database_settings(kind: type[Settings] | None = None, **options: Any) -> DatabaseSettings:
    """Those of the database alone, from the same sources. Raises InvalidSettings."""
    return _read(_database_settings(kind or _of_the_team()), **options)


def _of_the_team() -> type[Settings]:
    # which may import this module, for its Settings
    from app import extensions

    return getattr(extensions, "Settings", Settings)


@cache
def _database_settings(kind: type[Settings]) -> type[DatabaseSettings]:
    class FromTheSameSources(DatabaseSettings):  # as what a team's class says of its sources is meant
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *args: Any, **sources: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return kind.settings_customise_sources(settings_cls, *args, **sources)

    return FromTheSameSources


def _read(kind: type[Read], **values: Any) -> Read:
    try:
        return kind(**values)
    except ValidationError as error:
        raise InvalidSettings("; ".join(_sentence(kind, problem) for problem in error.errors())) from None
    except SettingsError as error:  # of a source: a list or a dictionary that is no JSON
        raise InvalidSettings(str(error)) from None
    except (OSError, UnicodeError) as error:  # the message has no value: where it stands, or why it cannot be opened
        raise InvalidSettings(f".env cannot be read as UTF-8 text: {error}") from None


def _sentence(kind: type[BaseSettings], problem: ErrorDetails) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # of several together: a team's model_validator
        return message
    name = variable_of(kind, problem["loc"])
    return f"{name} is not set" if problem["type"] == "missing" else f"{name} cannot be used: {message}"
