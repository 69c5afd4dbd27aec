"""What is asked of developers by the thousand, in the words of either access style."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import TypeAdapter
from sqlalchemy import select

from app.database import Database, DatabaseError, InvalidValue, Session
from app.database.bulk import Upserted, bulk_insert, bulk_update, stream, upsert
from app.developers import queries
from app.developers.schemas import Developer, DeveloperChange, DeveloperCreate
from app.models import metadata

OnConflict = Literal["fail", "skip", "update"]

developers = metadata.tables["developers"]
_DEVELOPERS = TypeAdapter(list[Developer])


class UnknownDeveloper(DatabaseError):
    status, title = 404, "There is no such developer"


async def create_all(session: Session, rows: Iterable[DeveloperCreate], on_conflict: OnConflict) -> Upserted:
    """For an e-mail address that is taken: raise UniqueViolation, skip the row, or change the developer's other fields.

    An error has the index of its `row`; then nothing is done.
    """
    now = datetime.now(UTC)
    values = ({**row.model_dump(), "created_at": now, "updated_at": now} for row in rows)
    if on_conflict == "fail":
        return Upserted(inserted=await bulk_insert(session, developers, values))
    update = ("name", "specialty") if on_conflict == "update" else ()
    return await upsert(session, developers, values, conflict="email", update=update, touch="updated_at")


async def change_all(session: Session, changes: Sequence[DeveloperChange]) -> int:
    """Change the given fields of each. Raises UnknownDeveloper, UniqueViolation, InvalidValue, with the `row`."""
    now = datetime.now(UTC)
    seen: set[int] = set()
    alike: dict[frozenset[str], list[int]] = defaultdict(list)  # rows with the same fields, by index
    for index, change in enumerate(changes):
        if change.id in seen:
            raise InvalidValue("The id of an earlier row", row=index)
        seen.add(change.id)
        alike[frozenset(change.model_fields_set)].append(index)
    for indices in alike.values():
        values = [{**changes[index].model_dump(exclude_unset=True), "updated_at": now} for index in indices]
        try:
            matched = await bulk_update(session, developers, values, key="id")
        except DatabaseError as error:
            error.row = None if error.row is None else indices[error.row]
            raise
        if matched < len(indices):
            there = await queries.existing(session, seen)
            raise UnknownDeveloper(row=next(i for i, change in enumerate(changes) if change.id not in there))
    return len(changes)


async def export(database: Database) -> AsyncIterator[Sequence[Developer]]:
    """All developers, by id."""
    async for page in stream(database, select(*developers.c), key=[developers.c.id]):
        yield _DEVELOPERS.validate_python([dict(row._mapping) for row in page])
