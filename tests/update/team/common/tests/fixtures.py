"""Fixtures of the team's own, which app/extensions.py names."""

import pytest
from httpx import AsyncClient


@pytest.fixture
async def order(client: AsyncClient) -> dict[str, object]:
    created: dict[str, object] = (await client.post("/orders", json={"item": "teapot"})).json()
    return created
