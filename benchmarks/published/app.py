"""The widely-published pattern, for either driver: an engine and a sessionmaker at module level, a session that a
dependency yields inside `begin()`, pre-ping, `add_all`, and SQLAlchemy's default pool. The routes, their validation
and their JSON are those of benchmarks/floor.
"""

import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from sqlalchemy import BigInteger, ForeignKey, String, Text, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import DateTime

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "floor"))
import schemas
from schemas import Cursor, DeveloperCreate, Id, Limit, Moved, Page, Specialty, Transfer, key_of, page_of

scheme, rest = os.environ["DATABASE_URL"].split("://", 1)
POSTGRESQL = scheme.startswith("postgres")
engine = create_async_engine(f"{'postgresql+asyncpg' if POSTGRESQL else 'mysql+aiomysql'}://{rest}", pool_pre_ping=True)
async_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class Developer(Base):
    __tablename__ = "developers"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    email: Mapped[str] = mapped_column(String(254), unique=True)
    specialty: Mapped[str] = mapped_column(String(50))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Note(Base):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    developer_id: Mapped[int] = mapped_column(ForeignKey("developers.id"))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


async def get_session() -> AsyncIterator[AsyncSession]:
    async with async_session() as session, session.begin():
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]
app = FastAPI()


def as_schema(row: Developer) -> schemas.Developer:
    return schemas.Developer.model_validate(row, from_attributes=True)


@app.get("/developers/{id}")
async def read_developer(id: Id, session: Session) -> schemas.Developer:
    row = await session.get(Developer, id)
    if row is None:
        raise HTTPException(404, f"There is no developer {id}")
    return as_schema(row)


@app.get("/developers")
async def list_developers(
    session: Session, specialty: Specialty | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page:
    query = select(Developer).order_by(Developer.name, Developer.id).limit(limit + 1)
    if specialty is not None:
        query = query.where(Developer.specialty == specialty)
    if cursor is not None:
        name, id = key_of(cursor)
        query = query.where(Developer.name >= name, or_(Developer.name > name, Developer.id > id))
    return page_of([as_schema(row) for row in await session.scalars(query)], limit)


@app.post("/developers", status_code=201)
async def create_developer(
    data: DeveloperCreate, session: Session, request: Request, response: Response
) -> schemas.Developer:
    now = datetime.now(UTC)
    row = Developer(**data.model_dump(), created_at=now, updated_at=now)
    session.add_all([row])
    try:
        await session.flush()
    except IntegrityError:
        raise HTTPException(409, "There is a developer with this e-mail address") from None
    response.headers["Location"] = str(request.url_for("read_developer", id=row.id))
    return as_schema(row)


@app.post("/notes/transfer")
async def transfer_notes(data: Transfer, session: Session) -> Moved:
    ids = sorted({data.from_developer_id, data.to_developer_id})
    locked = await session.scalars(
        select(Developer.id).where(Developer.id.in_(ids)).order_by(Developer.id).with_for_update()
    )
    if len(locked.all()) < len(ids):
        raise HTTPException(404, "One of the two developers does not exist")
    moving = update(Note).where(Note.developer_id == data.from_developer_id)
    result = await session.execute(moving.values(developer_id=data.to_developer_id))
    return Moved(moved=result.rowcount)
