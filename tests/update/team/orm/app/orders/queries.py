"""What is asked of orders."""

from app.database import Session
from app.orders import models
from app.orders.schemas import Order, OrderCreate


async def create(session: Session, data: OrderCreate) -> Order:
    order = models.Order(**data.model_dump())
    session.add(order)
    await session.flush()
    return Order.model_validate(order)


async def get(session: Session, id: int) -> Order | None:
    order = await session.get(models.Order, id)
    return Order.model_validate(order) if order else None


async def ship(session: Session, id: int) -> Order | None:
    order = await session.get(models.Order, id)
    if order is None:
        return None
    order.status = "shipped"
    await session.flush()
    return Order.model_validate(order)
