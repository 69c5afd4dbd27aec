"""What clients send and get, as in the rendered services: the same fields, the same checks, the same JSON."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated

from fastapi import Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, StringConstraints, TypeAdapter

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Email = Annotated[EmailStr, AfterValidator(str.lower)]
Specialty = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50, pattern=r"^[^\x00]*$")]
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=2000)]

_KEY = TypeAdapter(tuple[str, int])


class DeveloperCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    email: Email
    specialty: Specialty


class Developer(BaseModel):
    id: int
    name: str
    email: str
    specialty: str
    created_at: datetime
    updated_at: datetime


class Page(BaseModel):
    items: list[Developer]
    next_cursor: str | None = None


class Transfer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_developer_id: int
    to_developer_id: int


class Moved(BaseModel):
    moved: int


def page_of(found: list[Developer], limit: int) -> Page:
    """One row more than `limit` was asked for, which tells whether there is a next page."""
    if len(found) <= limit:
        return Page(items=found)
    last = found[limit - 1]
    return Page(items=found[:limit], next_cursor=urlsafe_b64encode(_KEY.dump_json((last.name, last.id))).decode())


def key_of(cursor: str) -> tuple[str, int]:
    """Name and id of the row that a cursor names. Raises RequestValidationError (422)."""
    try:
        return _KEY.validate_json(urlsafe_b64decode(cursor))
    except ValueError:
        error = {"loc": ("query", "cursor"), "msg": "Use next_cursor of the page before, unchanged", "type": "cursor"}
        raise RequestValidationError([error]) from None
