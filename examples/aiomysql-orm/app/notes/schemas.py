"""What clients send and get."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.developers.schemas import Id, JsonId

__all__ = ["Id", "Moved", "Note", "NoteCreate", "Transfer"]

Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=10_000, pattern=r"^[^\x00]*$"),
    Field(examples=["Writes the first programme."]),
]


class NoteCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Text


class Note(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    developer_id: int
    text: str
    created_at: datetime


class Transfer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_developer_id: JsonId
    to_developer_id: JsonId


class Moved(BaseModel):
    moved: int
