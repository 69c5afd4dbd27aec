"""What is asked of notes."""

from datetime import UTC, datetime

from sqlalchemy import select, update

from app.database import Session
from app.developers.models import Developer
from app.notes import models
from app.notes.schemas import Note, NoteCreate


async def create(session: Session, developer_id: int, data: NoteCreate) -> Note:
    """Raises ForeignKeyViolation when there is no such developer."""
    note = models.Note(developer_id=developer_id, text=data.text, created_at=datetime.now(UTC))
    session.add(note)
    await session.flush()
    return Note.model_validate(note)


async def get(session: Session, id: int) -> Note | None:
    note = await session.get(models.Note, id)
    return Note.model_validate(note) if note else None


async def of_developer(session: Session, developer_id: int) -> list[Note] | None:
    """In the order of writing, the latest 100; None when there is no such developer."""
    query = select(models.Note).where(models.Note.developer_id == developer_id)
    query = query.order_by(models.Note.id.desc()).limit(100)
    if notes := [Note.model_validate(note) for note in await session.scalars(query)]:
        return notes[::-1]
    return [] if await session.get(Developer, developer_id) else None


async def transfer(session: Session, from_developer_id: int, to_developer_id: int) -> int | None:
    """Hand over all notes; how many, or None when one of the two is missing."""
    ids = sorted({from_developer_id, to_developer_id})
    query = select(Developer.id).where(Developer.id.in_(ids)).order_by(Developer.id).with_for_update()
    if len((await session.scalars(query)).all()) < len(ids):  # locked in order, so that two transfers rarely deadlock
        return None
    moving = update(models.Note).where(models.Note.developer_id == from_developer_id)
    connection = await session.connection()  # for the number of rows, which a session's Result does not have
    return (await connection.execute(moving.values(developer_id=to_developer_id))).rowcount
