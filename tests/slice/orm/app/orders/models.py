"""The orders' table."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import UtcDateTime
from app.database.backend import Base


class Order(Base):
    __tablename__ = "orders"
    __table_args__ = (Index("ix_orders_developer_id_id", "developer_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    developer_id: Mapped[int] = mapped_column(ForeignKey("developers.id", ondelete="CASCADE"))
    item: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
