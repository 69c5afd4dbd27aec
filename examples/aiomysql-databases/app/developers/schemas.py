"""What clients send and get. Lengths are those of the columns, so that a long value is named before it is sent on."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, StringConstraints

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Email = Annotated[EmailStr, AfterValidator(str.lower)]
Specialty = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50, pattern=r"^[^\x00]*$")]


class DeveloperCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    email: Email
    specialty: Specialty


class DeveloperPatch(BaseModel):
    """Only the fields that are given change; none of them may be null."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    email: Email = ""
    specialty: Specialty = ""


class DeveloperChange(DeveloperPatch):
    """One of many: only the fields that are given change."""

    id: Annotated[int, Field(ge=1, le=2**63 - 1)]


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
