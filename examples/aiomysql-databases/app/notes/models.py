"""The notes' table."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table, Text

from app.database import UtcDateTime, metadata

notes = Table(
    "notes",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("developer_id", BigInteger, ForeignKey("developers.id", ondelete="CASCADE"), nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_notes_developer_id_id", "developer_id", "id"),
)
