"""The orders' table."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Table

from app.database import UtcDateTime, metadata

orders = Table(
    "orders",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("developer_id", BigInteger, ForeignKey("developers.id", ondelete="CASCADE"), nullable=False),
    Column("item", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_orders_developer_id_id", "developer_id", "id"),
)
