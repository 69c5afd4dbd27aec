"""What clients send and get."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, StringConstraints

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]


class OrderCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    item: Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]


class Order(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    developer_id: int
    item: str
    created_at: datetime
