"""Orders over HTTP."""

from fastapi import APIRouter, HTTPException

from app.database import ForeignKeyViolation, ReadSession, WriteSession
from app.orders import queries
from app.orders.schemas import Id, Order, OrderCreate

router = APIRouter(tags=["orders"])


@router.post("/developers/{id}/orders", status_code=201)
async def create_order(id: Id, data: OrderCreate, session: WriteSession) -> Order:
    try:
        return await queries.create(session, id, data)
    except ForeignKeyViolation:
        raise HTTPException(404, f"There is no developer {id}") from None


@router.get("/orders/{id}")
async def read_order(id: Id, session: ReadSession) -> Order:
    order = await queries.get(session, id)
    if order is None:
        raise HTTPException(404, f"There is no order {id}")
    return order
