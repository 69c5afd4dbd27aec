"""Developers over HTTP."""

from fastapi import HTTPException, Response

from app.database import ReadSession, WriteSession
from app.developers import queries
from app.developers.bulk_routes import router
from app.developers.schemas import Developer, DeveloperCreate, DeveloperPatch, Id, Specialty
from app.pagination import Cursor, Limit, Page
from app.responses import CREATED, problems

__all__ = ["router"]


@router.post("", status_code=201, responses=CREATED | problems(409))
async def create_developer(data: DeveloperCreate, session: WriteSession, response: Response) -> Developer:
    developer = await queries.create(session, data)
    response.headers["Location"] = f"developers/{developer.id}"  # relative to this path, wherever a proxy mounts it
    return developer


@router.get("")
async def list_developers(
    session: ReadSession, specialty: Specialty | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Developer]:
    return await queries.page(session, specialty=specialty, limit=limit, cursor=cursor)


@router.get("/{id}", responses=problems(404))
async def read_developer(id: Id, session: ReadSession) -> Developer:
    return _found(id, await queries.get(session, id))


@router.patch("/{id}", responses=problems(404, 409))
async def change_developer(id: Id, patch: DeveloperPatch, session: WriteSession) -> Developer:
    return _found(id, await queries.change(session, id, patch))


@router.delete("/{id}", status_code=204, responses=problems(404))
async def remove_developer(id: Id, session: WriteSession) -> None:
    if not await queries.remove(session, id):
        raise not_found(id)


def not_found(id: int) -> HTTPException:
    return HTTPException(404, f"There is no developer {id}")


def _found(id: int, developer: Developer | None) -> Developer:
    if developer is None:
        raise not_found(id)
    return developer
