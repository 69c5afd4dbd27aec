"""Keyset pages: a cursor names the last row of a page, so a page costs the same at any depth and rows that are added
meanwhile neither repeat nor hide others. For clients the cursor is opaque.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, TypeAdapter

Item = TypeVar("Item")
Key = TypeVar("Key")

LONGEST = 4000  # characters of a cursor: with the rest of a URL it has to pass through proxies, many of which take 8 kB

Limit = Annotated[int, Query(ge=1, le=100, description="Rows on the page")]
Cursor = Annotated[
    str | None,
    Query(max_length=LONGEST, description="`next_cursor` of the page before", json_schema_extra={"format": "cursor"}),
]


class Page(BaseModel, Generic[Item]):
    items: list[Item]
    next_cursor: str | None = None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """`DeveloperPage`: a good name for the class of a generated client, which `Page_Developer_` is not."""
        return "".join(getattr(each, "__name__", "Any") for each in params) + cls.__name__


_ANY_KEY = TypeAdapter(tuple[object, ...])  # made once: that takes a tenth of the time of a page


def encode_cursor(key: tuple[object, ...]) -> str:
    """The cursor behind the row with this key. Raises ValueError for one that is too long: of 3,000 bytes as JSON."""
    cursor = urlsafe_b64encode(_ANY_KEY.dump_json(key)).rstrip(b"=").decode()
    if len(cursor) > LONGEST:
        raise ValueError(f"A cursor has {len(cursor):,} characters, more than {LONGEST:,}: sort by shorter columns")
    return cursor


def decode_cursor(cursor: str, key: TypeAdapter[Key]) -> Key:
    """The key in a cursor, checked to be of the given type. Raises RequestValidationError (422)."""
    try:
        return key.validate_json(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:  # of base64, of JSON or of pydantic
        error = {"loc": ("query", "cursor"), "msg": "Use next_cursor of the page before, unchanged", "type": "cursor"}
        raise RequestValidationError([error]) from None
