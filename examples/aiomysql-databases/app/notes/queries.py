"""What is asked of notes."""

from datetime import UTC, datetime

from sqlalchemy import insert, select, update

from app.database import Session
from app.developers.models import developers
from app.notes.models import notes
from app.notes.schemas import Note, NoteCreate


async def create(session: Session, developer_id: int, data: NoteCreate) -> Note:
    """Raises ForeignKeyViolation when there is no such developer."""
    values = {"developer_id": developer_id, "text": data.text, "created_at": datetime.now(UTC)}
    return Note(id=await session.execute(insert(notes), values), **values)


async def get(session: Session, id: int) -> Note | None:
    row = await session.fetch_one(select(notes).where(notes.c.id == id))
    return Note.model_validate(row._mapping) if row else None


async def of_developer(session: Session, developer_id: int) -> list[Note] | None:
    """In the order of writing, the latest 100; None when there is no such developer."""
    query = select(notes).where(notes.c.developer_id == developer_id)
    query = query.order_by(notes.c.id.desc()).limit(100)
    if found := [Note.model_validate(row._mapping) for row in await session.fetch_all(query)]:
        return found[::-1]
    exists = await session.fetch_one(select(developers.c.id).where(developers.c.id == developer_id))
    return [] if exists else None


async def transfer(session: Session, from_developer_id: int, to_developer_id: int) -> int | None:
    """Hand over all notes; how many, or None when one of the two is missing."""
    ids = sorted({from_developer_id, to_developer_id})
    query = select(developers.c.id).where(developers.c.id.in_(ids)).order_by(developers.c.id).with_for_update()
    if len(await session.fetch_all(query)) < len(ids):  # locked in order, so that two transfers rarely deadlock
        return None
    moving = update(notes).where(notes.c.developer_id == from_developer_id)
    return await session.affected(moving.values(developer_id=to_developer_id))
