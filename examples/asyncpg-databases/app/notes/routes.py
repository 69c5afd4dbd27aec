"""Notes over HTTP. A transfer is the example of a unit of work that is run again when it meets another one."""

from functools import partial

from fastapi import APIRouter, HTTPException, Response

from app.database import CurrentDatabase, ForeignKeyViolation, ReadSession, WriteSession
from app.notes import queries
from app.notes.schemas import Id, Moved, Note, NoteCreate, Transfer
from app.responses import CREATED, problems

router = APIRouter(tags=["notes"])


@router.post("/developers/{id}/notes", status_code=201, responses=CREATED | problems(404))
async def create_note(id: Id, data: NoteCreate, session: WriteSession, response: Response) -> Note:
    try:
        note = await queries.create(session, id, data)
    except ForeignKeyViolation:
        raise HTTPException(404, f"There is no developer {id}") from None
    response.headers["Location"] = f"../../notes/{note.id}"  # relative to this path, wherever a proxy mounts it
    return note


@router.get("/developers/{id}/notes", responses=problems(404))
async def list_notes(id: Id, session: ReadSession) -> list[Note]:
    notes = await queries.of_developer(session, id)
    if notes is None:
        raise HTTPException(404, f"There is no developer {id}")
    return notes


@router.get("/notes/{id}", responses=problems(404))
async def read_note(id: Id, session: ReadSession) -> Note:
    note = await queries.get(session, id)
    if note is None:
        raise HTTPException(404, f"There is no note {id}")
    return note


@router.post("/notes/transfer", responses=problems(404))
async def transfer_notes(data: Transfer, database: CurrentDatabase) -> Moved:
    work = partial(queries.transfer, from_developer_id=data.from_developer_id, to_developer_id=data.to_developer_id)
    moved = await database.run_transaction(work, isolation_level="SERIALIZABLE")
    if moved is None:
        raise HTTPException(404, "One of the two developers does not exist")
    return Moved(moved=moved)
