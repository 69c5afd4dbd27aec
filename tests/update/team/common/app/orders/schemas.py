"""What clients send and get."""

from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict

Id = Annotated[int, Path(ge=1, lt=2**63)]


class OrderCreate(BaseModel):
    item: str


class Order(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    item: str
    status: str
    revision: int
