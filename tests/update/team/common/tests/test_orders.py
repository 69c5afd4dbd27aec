"""Orders over HTTP, and what else the team has added."""

from fastapi import FastAPI
from httpx import AsyncClient


async def test_what_the_table_makes_is_in_the_answers(client: AsyncClient) -> None:
    created = await client.post("/orders", json={"item": "teapot"})
    assert created.status_code == 201, created.text
    order = created.json()
    assert (order["status"], order["revision"]) == ("open", 1)
    shipped = await client.post(f"/orders/{order['id']}/ship")
    assert shipped.status_code == 200, shipped.text
    assert shipped.json() == {**order, "status": "shipped", "revision": 2}


async def test_a_fixture_of_the_teams_is_there(client: AsyncClient, order: dict[str, object]) -> None:
    assert (await client.get(f"/orders/{order['id']}")).json() == order


async def test_a_setting_of_the_teams_is_there(app: FastAPI) -> None:
    assert app.state.settings.mail_server == "localhost"
