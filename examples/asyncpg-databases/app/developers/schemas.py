"""What clients send and get. Lengths are those of the columns, so that a long value is named before it is sent on."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, EmailStr, Field, StringConstraints
from pydantic_core import PydanticKnownError

Id = Annotated[int, Path(ge=1, lt=2**63)]  # not le=2**63 - 1: OpenAPI has it as a float, which is the next number


def _number(value: object) -> object:
    """1 and 1.0, as in JSON Schema, but neither "1" nor true, which pydantic takes for a number too."""
    if isinstance(value, str | bool):
        raise PydanticKnownError("int_type")
    return value


JsonId = Annotated[int, Field(ge=1, lt=2**63, examples=[1]), BeforeValidator(_number)]
# Not blank, and no NUL, which no server takes in a text. Lengths are those of what was sent: OpenAPI has no other.
TEXT = r"^[^\x00]*[^\x00-\x20\s][^\x00]*$"
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, pattern=TEXT),
    AfterValidator(str.strip),
    Field(examples=["Ada Lovelace"]),
]
Email = Annotated[EmailStr, AfterValidator(str.lower), Field(examples=["ada@example.com"])]
Specialty = Annotated[
    str,
    StringConstraints(min_length=1, max_length=50, pattern=TEXT),
    AfterValidator(str.strip),
    Field(examples=["engines"]),
]


class DeveloperCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    email: Email
    specialty: Specialty


class DeveloperPatch(BaseModel):
    """Only the fields that are given change; none of them may be null."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(default_factory=str)  # a factory is no default in OpenAPI, where "" would not be valid
    email: Email = Field(default_factory=str)
    specialty: Specialty = Field(default_factory=str)


class DeveloperChange(DeveloperPatch):
    """One of many: only the fields that are given change."""

    id: JsonId


class BulkCreated(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    inserted: int
    updated: int
    skipped: int


class BulkChanged(BaseModel):
    updated: int


class Developer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    email: str
    specialty: str
    created_at: datetime
    updated_at: datetime
