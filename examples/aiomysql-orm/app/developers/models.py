"""The developers' table."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import UtcDateTime
from app.database.backend import Base


class Developer(Base):
    __tablename__ = "developers"
    __table_args__ = (
        Index("ix_developers_name_id", "name", "id"),
        Index("ix_developers_specialty_name_id", "specialty", "name", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    specialty: Mapped[str] = mapped_column(String(50))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
