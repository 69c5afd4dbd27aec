"""What is asked of orders."""

from sqlalchemy import insert, select, update

from app.database import Session
from app.orders.models import orders
from app.orders.schemas import Order, OrderCreate


async def create(session: Session, data: OrderCreate) -> Order:
    id = await session.execute(insert(orders).values(data.model_dump()))
    return Order.model_validate(await session.fetch_one(select(orders).where(orders.c.id == id)))


async def get(session: Session, id: int) -> Order | None:
    row = await session.fetch_one(select(orders).where(orders.c.id == id))
    return Order.model_validate(row) if row else None


async def ship(session: Session, id: int) -> Order | None:
    await session.execute(update(orders).where(orders.c.id == id).values(status="shipped"))
    return await get(session, id)
