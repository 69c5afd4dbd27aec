"""What clients send and get."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from app.developers.schemas import Id

__all__ = ["Id", "Moved", "Note", "NoteCreate", "Transfer"]

Text = Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=r"^[^\x00]*$")]


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

    from_developer_id: int
    to_developer_id: int


class Moved(BaseModel):
    moved: int
