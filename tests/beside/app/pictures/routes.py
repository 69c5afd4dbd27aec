"""Pictures over HTTP: a form with a file, a user who is known by another service, and sessions beside both."""

from typing import Annotated

import httpx
from fastapi import APIRouter, Depends, Form, Header, HTTPException, UploadFile
from sqlalchemy import text

from app.database import ReadSession, WriteSession

router = APIRouter(prefix="/pictures", tags=["pictures"])


async def current_user(authorization: Annotated[str, Header()]) -> str:
    async with httpx.AsyncClient() as users:
        answer = await users.get("https://users.example/me", headers={"Authorization": authorization})
    if answer.status_code != 200:
        raise HTTPException(401)
    name: str = answer.json()["name"]
    return name


CurrentUser = Annotated[str, Depends(current_user)]


class Description:
    def __init__(self, title: Annotated[str, Form(max_length=20)], session: ReadSession) -> None:
        self.title = title
        self.session = session


@router.post("", status_code=201, max_body_size=5_000_000)
async def add_picture(
    picture: UploadFile, about: Annotated[Description, Depends()], user: CurrentUser, session: WriteSession
) -> dict[str, object]:
    one = await about.session.fetch_val(text("SELECT 1"))
    two = await session.fetch_val(text("SELECT 2"))
    return {"title": about.title, "of": user, "bytes": len(await picture.read()), "read": [one, two]}
