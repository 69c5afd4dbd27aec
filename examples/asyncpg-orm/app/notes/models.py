"""The notes' table. A developer's notes are queried, not an attribute of it: lazy loading has no place for `await`."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.database import UtcDateTime
from app.database.backend import Base


class Note(Base):
    __tablename__ = "notes"
    __table_args__ = (Index("ix_notes_developer_id_id", "developer_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    developer_id: Mapped[int] = mapped_column(ForeignKey("developers.id", ondelete="CASCADE"))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
