"""The developers' table."""

from sqlalchemy import BigInteger, Column, Index, String, Table

from app.database import UtcDateTime, metadata

developers = Table(
    "developers",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("email", String(254), nullable=False, unique=True),
    Column("specialty", String(50), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_developers_name_id", "name", "id"),
    Index("ix_developers_specialty_name_id", "specialty", "name", "id"),
)
