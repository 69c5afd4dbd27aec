"""Developers over HTTP by the thousand. Their paths come first in the router: /{id} would take them for ids."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from app.bodies import RowsBody
from app.database import CurrentDatabase, WriteSession
from app.developers import bulk_queries
from app.developers.bulk_queries import OnConflict
from app.developers.schemas import BulkChanged, BulkCreated, Developer, DeveloperChange, DeveloperCreate
from app.ndjson import lines_of, ndjson
from app.responses import problems

router = APIRouter(prefix="/developers", tags=["developers"])

new_rows = RowsBody(DeveloperCreate)
changed_rows = RowsBody(DeveloperChange)


@router.post("/bulk", status_code=201, responses=problems(409))
async def create_developers(
    rows: Annotated[list[DeveloperCreate], Depends(new_rows)], session: WriteSession, on_conflict: OnConflict = "fail"
) -> BulkCreated:
    return BulkCreated.model_validate(await bulk_queries.create_all(session, rows, on_conflict))


@router.patch("/bulk", responses=problems(404, 409))
async def change_developers(
    rows: Annotated[list[DeveloperChange], Depends(changed_rows)], session: WriteSession
) -> BulkChanged:
    return BulkChanged(updated=await bulk_queries.change_all(session, rows))


@router.get("/export", response_class=StreamingResponse, responses=lines_of(Developer))
async def export_developers(database: CurrentDatabase) -> StreamingResponse:
    return await ndjson(bulk_queries.export(database))
