"""The types of settings that are more than a number or a text: what cannot be used is a ValueError that says why.

And what a setting's variable is called, for the sentence about it.
"""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr
from pydantic_settings import BaseSettings

from app.database.password import in_file
from app.logs import levels_of
from app.url import parse_url


def _usable_url(url: SecretStr) -> SecretStr:
    target = parse_url(url.get_secret_value())
    try:
        target.ssl_context()
    except OSError:
        raise ValueError("a file with a certificate or a key that the URL names cannot be used") from None
    return url


def _readable(file: Path) -> Path:
    try:
        in_file(file)()
    except (OSError, UnicodeDecodeError):
        raise ValueError("there is no text file of this name that can be read") from None
    return file


def _never_or_seconds(value: int) -> int:
    if value != -1 and not 1 <= value <= 86400:
        raise ValueError("give -1 (never) or seconds from 1 to 86400")
    return value


def _usable_levels(levels: str) -> str:
    levels_of(levels)
    return levels


def variable_of(kind: type[BaseSettings], place: Sequence[int | str]) -> str:
    """The environment variable of what stands at this place of the settings, as pydantic says it."""
    prefix = kind.model_config.get("env_prefix", "") if place[0] in kind.model_fields else ""  # an alias stands alone
    delimiter = kind.model_config.get("env_nested_delimiter")
    names = takewhile(lambda part: isinstance(part, str), place)  # a list is one variable
    return f"{prefix}{delimiter.join(map(str, names)) if delimiter else place[0]}".upper()


DatabaseUrl = Annotated[SecretStr, AfterValidator(_usable_url)]
ReadableFile = Annotated[Path, AfterValidator(_readable)]
NeverOrSeconds = Annotated[int, AfterValidator(_never_or_seconds)]
LogLevels = Annotated[str, AfterValidator(_usable_levels)]
