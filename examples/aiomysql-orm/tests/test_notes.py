"""Notes over HTTP. This file is the team's."""

import asyncio
from collections.abc import Awaitable, Callable

from httpx import AsyncClient


async def developer(client: AsyncClient, email: str) -> int:
    body = {"name": "Ada", "email": email, "specialty": "engines"}
    id: int = (await client.post("/developers", json=body)).json()["id"]
    return id


async def test_notes_are_listed_in_the_order_of_writing(client: AsyncClient) -> None:
    ada = await developer(client, "ada@example.com")
    for text in ("one", "two", "three 🙂"):
        response = await client.post(f"/developers/{ada}/notes", json={"text": text})
        assert response.status_code == 201
        location = response.url.join(response.headers["Location"])
        assert (await client.get(location)).json() == response.json()
    notes = (await client.get(f"/developers/{ada}/notes")).json()
    assert [note["text"] for note in notes] == ["one", "two", "three 🙂"]


async def test_notes_go_with_their_developer(client: AsyncClient) -> None:
    ada = await developer(client, "ada@example.com")
    note = (await client.post(f"/developers/{ada}/notes", json={"text": "one"})).json()
    assert (await client.delete(f"/developers/{ada}")).status_code == 204
    assert (await client.get(f"/notes/{note['id']}")).status_code == 404


async def test_notes_of_a_developer_that_is_missing_are_not_found(client: AsyncClient) -> None:
    assert (await client.get("/developers/1/notes")).status_code == 404
    assert (await client.post("/developers/1/notes", json={"text": "one"})).status_code == 404
    ada = await developer(client, "ada@example.com")
    assert (await client.get(f"/developers/{ada}/notes")).json() == []


async def test_a_transfer_moves_all_notes(client: AsyncClient) -> None:
    ada, grace = await developer(client, "ada@example.com"), await developer(client, "grace@example.com")
    for text in ("one", "two"):
        await client.post(f"/developers/{ada}/notes", json={"text": text})
    transfer = {"from_developer_id": ada, "to_developer_id": grace}
    assert (await client.post("/notes/transfer", json=transfer)).json() == {"moved": 2}
    assert (await client.get(f"/developers/{ada}/notes")).json() == []
    assert len((await client.get(f"/developers/{grace}/notes")).json()) == 2
    assert (await client.post("/notes/transfer", json={**transfer, "to_developer_id": 2**62})).status_code == 404


async def test_sixteen_transfers_at_once_lose_no_note(client: AsyncClient) -> None:
    ids = [await developer(client, f"d{number}@example.com") for number in range(4)]
    for id in ids:
        await client.post(f"/developers/{id}/notes", json={"text": "one"})
    transfers = [{"from_developer_id": ids[n % 4], "to_developer_id": ids[(n + 1 + n // 4) % 4]} for n in range(16)]
    answers = await asyncio.gather(*(client.post("/notes/transfer", json=transfer) for transfer in transfers))
    assert {answer.status_code for answer in answers} == {200}
    lists = [(await client.get(f"/developers/{id}/notes")).json() for id in ids]
    assert sum(map(len, lists)) == 4


async def test_each_route_costs_its_statements_and_a_write_two_round_trips_more(
    client: AsyncClient, round_trips: Callable[..., Awaitable[int]]
) -> None:
    ada, grace = await developer(client, "ada@example.com"), await developer(client, "grace@example.com")
    assert await round_trips(*[("POST", f"/developers/{ada}/notes", {"text": "one"})] * 3) == 3
    notes = (await client.get(f"/developers/{ada}/notes")).json()
    assert await round_trips(*[("GET", f"/developers/{ada}/notes", None)] * 3) == 1
    assert await round_trips(*[("GET", f"/developers/{grace}/notes", None)] * 3) == 2  # none: is she there?
    assert await round_trips(*(("GET", f"/notes/{note['id']}", None) for note in notes)) == 1
    there = {"from_developer_id": ada, "to_developer_id": grace}
    assert await round_trips(*[("POST", "/notes/transfer", there)] * 3) == 4
