"""What is asked of orders."""

from datetime import UTC, datetime

from app.database import Session
from app.orders import models
from app.orders.schemas import Order, OrderCreate


async def create(session: Session, developer_id: int, data: OrderCreate) -> Order:
    """Raises ForeignKeyViolation when there is no such developer."""
    order = models.Order(developer_id=developer_id, **data.model_dump(), created_at=datetime.now(UTC))
    session.add(order)
    await session.flush()
    return Order.model_validate(order)


async def get(session: Session, id: int) -> Order | None:
    order = await session.get(models.Order, id)
    return Order.model_validate(order) if order else None
