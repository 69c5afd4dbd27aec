"""Orders over HTTP."""

from httpx import AsyncClient

ADA = {"name": "Ada", "email": "ada@example.com", "specialty": "engines"}


async def test_an_order_is_of_a_developer_and_goes_with_it(client: AsyncClient) -> None:
    ada = (await client.post("/developers", json=ADA)).json()["id"]
    created = await client.post(f"/developers/{ada}/orders", json={"item": "teapot"})
    assert created.status_code == 201, created.text
    order = created.json()
    assert (order["developer_id"], order["item"]) == (ada, "teapot")
    assert (await client.get(f"/orders/{order['id']}")).json() == order
    assert (await client.delete(f"/developers/{ada}")).status_code == 204
    assert (await client.get(f"/orders/{order['id']}")).status_code == 404


async def test_nobody_orders_nothing(client: AsyncClient) -> None:
    answer = await client.post("/developers/1/orders", json={"item": "teapot"})
    assert answer.status_code == 404, answer.text
