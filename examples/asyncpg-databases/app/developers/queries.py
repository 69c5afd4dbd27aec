"""What is asked of developers. Rows stay in here: what leaves is a schema, which outlives the session."""

from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Select, bindparam, delete, insert, or_, select, update

from app.database import Session
from app.developers.models import developers
from app.developers.schemas import Developer, DeveloperCreate, DeveloperPatch
from app.pagination import Page, decode_cursor, encode_cursor

_PAGE_KEY = TypeAdapter(tuple[str, int])
_DEVELOPERS = TypeAdapter(list[Developer])
# Made once: building a statement costs as much CPU time as the rest of what a read asks of the database.
_NEW = insert(developers)
_BY_ID = select(developers).where(developers.c.id == bindparam("id"))


async def create(session: Session, data: DeveloperCreate) -> Developer:
    """Raises UniqueViolation for an e-mail address that is taken."""
    now = datetime.now(UTC)  # from here, not from the server: MySQL could not return it without a second statement
    values = {**data.model_dump(), "created_at": now, "updated_at": now}
    return Developer(id=await session.execute(_NEW, values), **values)


async def get(session: Session, id: int) -> Developer | None:
    row = await session.fetch_one(_BY_ID, {"id": id})
    return Developer.model_validate(row._mapping) if row else None


async def existing(session: Session, ids: set[int]) -> set[int]:
    """Those of the ids that there are."""
    return {row["id"] for row in await session.fetch_all(select(developers.c.id).where(developers.c.id.in_(ids)))}


async def page(session: Session, *, specialty: str | None, limit: int, cursor: str | None) -> Page[Developer]:
    """Developers by name, then id, in the server's collation."""
    rows = await session.fetch_all(page_query(specialty=specialty, limit=limit, cursor=cursor))
    found = _DEVELOPERS.validate_python([row._mapping for row in rows])
    last = found[limit - 1] if len(found) > limit else None
    return Page(items=found[:limit], next_cursor=encode_cursor((last.name, last.id)) if last else None)


def page_query(*, specialty: str | None, limit: int, cursor: str | None) -> Select[Any]:
    """The rows of a page, and one more where another page follows."""
    row = developers.c
    query = select(developers).order_by(row.name, row.id).limit(limit + 1)
    if specialty is not None:
        query = query.where(row.specialty == specialty)
    if cursor is not None:
        name, id = decode_cursor(cursor, _PAGE_KEY)
        # Not (name, id) > (...): for a row comparison MySQL and MariaDB walk the whole index.
        query = query.where(row.name >= name, or_(row.name > name, row.id > id))
    return query


async def change(session: Session, id: int, patch: DeveloperPatch) -> Developer | None:
    """Raises UniqueViolation for an e-mail address that is taken."""
    row = await session.fetch_one(select(developers).where(developers.c.id == id).with_for_update())
    if row is None:
        return None
    values = {**patch.model_dump(exclude_unset=True), "updated_at": datetime.now(UTC)}
    await session.execute(update(developers).where(developers.c.id == id).values(values))
    return Developer.model_validate(row._mapping).model_copy(update=values)


async def remove(session: Session, id: int) -> bool:
    """Whether there was one; its notes go with it."""
    return bool(await session.affected(delete(developers).where(developers.c.id == id)))
