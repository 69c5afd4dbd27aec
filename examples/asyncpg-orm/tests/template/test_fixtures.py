"""What tests/conftest.py promises to the tests of a team."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from httpx import AsyncClient


async def test_a_bug_in_a_route_shows_its_traceback(
    app: FastAPI, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """pytest prints what was logged beside a test that fails."""

    @app.get("/bug")
    async def with_a_bug() -> None:
        raise LookupError("of the team's own")

    assert (await client.get("/bug")).status_code == 500
    assert "in with_a_bug" in caplog.text
    assert "LookupError: of the team's own" in caplog.text


async def test_a_dependency_can_be_replaced(app: FastAPI, client: AsyncClient) -> None:
    async def current_user() -> str:
        raise NotImplementedError

    @app.get("/whoami")
    async def whoami(user: Annotated[str, Depends(current_user)]) -> str:
        return user

    app.dependency_overrides[current_user] = lambda: "Ada"
    assert (await client.get("/whoami")).json() == "Ada"
