"""What is asked of orders."""

from datetime import UTC, datetime

from sqlalchemy import insert, select

from app.database import Session
from app.orders.models import orders
from app.orders.schemas import Order, OrderCreate


async def create(session: Session, developer_id: int, data: OrderCreate) -> Order:
    """Raises ForeignKeyViolation when there is no such developer."""
    values = {"developer_id": developer_id, **data.model_dump(), "created_at": datetime.now(UTC)}
    return Order(id=await session.execute(insert(orders).values(values)), **values)


async def get(session: Session, id: int) -> Order | None:
    row = await session.fetch_one(select(orders).where(orders.c.id == id))
    return Order.model_validate(row._mapping) if row else None
