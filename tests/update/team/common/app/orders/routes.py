"""Orders over HTTP."""

from typing import Any

from fastapi import APIRouter, HTTPException

from app.database import ReadSession, WriteSession
from app.orders import queries
from app.orders.schemas import Id, Order, OrderCreate

router = APIRouter(prefix="/orders", tags=["orders"])
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such order"}}


@router.post("", status_code=201)
async def create_order(data: OrderCreate, session: WriteSession) -> Order:
    return await queries.create(session, data)


@router.get("/{id}", responses=UNKNOWN)
async def read_order(id: Id, session: ReadSession) -> Order:
    order = await queries.get(session, id)
    if order is None:
        raise HTTPException(404, f"There is no order {id}")
    return order


@router.post("/{id}/ship", responses=UNKNOWN)
async def ship_order(id: Id, session: WriteSession) -> Order:
    order = await queries.ship(session, id)
    if order is None:
        raise HTTPException(404, f"There is no order {id}")
    return order
