"""The orders' table."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, text

from app.database import metadata

orders = Table(
    "orders",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("item", String(100), nullable=False),
    Column("status", String(20), nullable=False, default="open"),
    Column("revision", Integer, nullable=False, default=1, onupdate=text("revision + 1")),
)
