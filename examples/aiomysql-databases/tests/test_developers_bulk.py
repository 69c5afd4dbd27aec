"""Developers over HTTP by the thousand. This file is the team's."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from httpx import AsyncClient, Response

from app.database import Database
from app.main import create_app
from tests.facts import UPSERT_ROUND_TRIPS

Developers = list[dict[str, Any]]


def developers(number: int, **changes: object) -> Developers:
    return [
        {"name": f"Name {i}", "email": f"d{i}@example.com", "specialty": f"s{i % 3}", **changes} for i in range(number)
    ]


async def create(client: AsyncClient, rows: Developers, on_conflict: str = "fail") -> Response:
    return await client.post("/developers/bulk", json=rows, params={"on_conflict": on_conflict})


async def exported(client: AsyncClient) -> Developers:
    response = await client.get("/developers/export")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in response.text.splitlines()]


async def test_ten_thousand_developers_are_created_in_one_request_and_exported_in_one(client: AsyncClient) -> None:
    assert await exported(client) == []
    rows = developers(10_000)
    rows[0] |= {"name": " Ünïcode 🙂 ", "email": "D0@Example.com"}
    response = await create(client, rows)
    assert response.status_code == 201, response.text
    assert response.json() == {"inserted": 10_000, "updated": 0, "skipped": 0}
    found = await exported(client)
    assert len(found) == len({d["id"] for d in found}) == 10_000
    assert found == sorted(found, key=lambda d: int(d["id"]))
    by_email = {d["email"]: d for d in found}
    assert by_email["d0@example.com"]["name"] == "Ünïcode 🙂"
    one = by_email["d7@example.com"]
    assert (await client.get(f"/developers/{one['id']}")).json() == one
    assert (await create(client, [])).json() == {"inserted": 0, "updated": 0, "skipped": 0}


@pytest.mark.parametrize("on_conflict", ["fail", "skip", "update"])
async def test_a_conflict_fails_is_skipped_or_updates_as_asked(client: AsyncClient, on_conflict: str) -> None:
    await create(client, developers(3))
    before = await exported(client)
    rows = developers(5)
    rows[1]["specialty"] = "other"
    response = await create(client, rows, on_conflict)
    after = await exported(client)
    if on_conflict == "fail":
        assert response.status_code == 409
        problem = response.json()
        assert (problem["constraint"], problem["row"]) == ("uq_developers_email", 0)
        assert after == before
    elif on_conflict == "skip":
        assert response.json() == {"inserted": 2, "updated": 0, "skipped": 3}
        assert after[:3] == before
        assert len(after) == 5
    else:
        assert response.json() == {"inserted": 2, "updated": 1, "skipped": 2}
        changed = {**before[1], "specialty": "other", "updated_at": after[1]["updated_at"]}
        assert after[:3] == [before[0], changed, before[2]]
        assert after[1]["updated_at"] > before[1]["updated_at"]
        assert len(after) == 5


async def test_an_email_twice_in_one_request_is_what_it_would_be_in_two(client: AsyncClient) -> None:
    rows = developers(4)
    rows[2] = {**rows[2], "email": "D1@example.com", "name": "Second"}
    response = await create(client, rows)
    assert (response.status_code, response.json()["row"]) == (409, 2)
    assert (await create(client, rows, "skip")).json() == {"inserted": 3, "updated": 0, "skipped": 1}
    assert (await create(client, rows, "update")).json() == {"inserted": 0, "updated": 1, "skipped": 3}
    names = {d["email"]: d["name"] for d in await exported(client)}
    assert names == {"d0@example.com": "Name 0", "d1@example.com": "Second", "d3@example.com": "Name 3"}


@pytest.mark.parametrize("place", [0, 1, 1234, 1999])
async def test_the_row_whose_email_is_taken_is_named_wherever_it_stands(client: AsyncClient, place: int) -> None:
    await create(client, developers(1, email="taken@example.com"))
    rows = developers(2_000)
    rows[place]["email"] = rows[-1]["email"] = "taken@example.com"
    response = await create(client, rows)
    assert response.status_code == 409
    assert response.json()["row"] == place
    assert len(await exported(client)) == 1


@pytest.mark.parametrize("on_conflict", ["fail", "skip", "update"])
async def test_rows_that_are_not_valid_are_named_and_nothing_is_stored(client: AsyncClient, on_conflict: str) -> None:
    rows = developers(20)
    rows[7]["email"] = "not an address"
    rows[9] |= {"name": "x" * 101, "id": 1}
    response = await create(client, rows, on_conflict)
    assert response.status_code == 422
    fields = [error["field"] for error in response.json()["errors"]]
    assert fields == ["body.7.email", "body.9.name", "body.9.id"]
    assert await exported(client) == []
    for body in (b"", b"{}", b"[1]", b"[{}", b"null", b'[{"name": "\\ud800"}]', b"\xff"):
        response = await client.post("/developers/bulk", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 422, body
        assert response.json()["errors"][0]["field"].startswith("body"), body
    assert (await create(client, rows, "nonsense")).status_code == 422
    assert (await client.post("/developers/bulk", content=b"[]")).status_code == 415


async def test_a_mistake_in_each_row_is_answered_with_the_first_hundred(client: AsyncClient) -> None:
    response = await create(client, developers(5000, name=""))
    assert response.status_code == 422
    assert len(response.json()["errors"]) == 100


async def test_more_than_ten_thousand_rows_are_too_many(client: AsyncClient) -> None:
    response = await create(client, developers(10_001))
    assert response.status_code == 413
    assert "10,000 rows" in response.json()["detail"]
    assert response.headers["Content-Type"] == "application/problem+json"
    assert await exported(client) == []


async def test_a_body_that_is_too_large_is_not_read_to_its_end(client: AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 1024 * 1024

    headers = {"Content-Type": "application/json"}
    response = await client.post("/developers/bulk", content=endless(), headers=headers)
    assert response.status_code == 413
    assert sent == 9
    sent = 0
    headers |= {"Content-Length": str(2**40)}
    assert (await client.post("/developers/bulk", content=endless(), headers=headers)).status_code == 413
    assert sent == 0


async def test_a_slow_upload_holds_no_connection(client: AsyncClient, database: Database) -> None:
    in_use: list[int] = []

    async def slow() -> AsyncIterator[bytes]:
        for byte in json.dumps(developers(1)).encode():
            in_use.append(database.status().in_use)
            await asyncio.sleep(0)
            yield bytes([byte])

    response = await client.post("/developers/bulk", content=slow(), headers={"Content-Type": "application/json"})
    assert response.status_code == 201
    assert set(in_use) == {0}


async def test_each_developer_gets_its_own_changes(client: AsyncClient) -> None:
    await create(client, developers(50))
    before = await exported(client)
    changes = [{"id": d["id"], "name": f"New {i}"} for i, d in enumerate(before[:30])]
    changes += [{"id": d["id"], "email": f"NEW{i}@example.com", "specialty": "x"} for i, d in enumerate(before[30:40])]
    response = await client.patch("/developers/bulk", json=changes)
    assert response.status_code == 200, response.text
    assert response.json() == {"updated": 40}
    after = await exported(client)
    assert [d["name"] for d in after[:30]] == [f"New {i}" for i in range(30)]
    assert [(d["email"], d["specialty"]) for d in after[30:40]] == [(f"new{i}@example.com", "x") for i in range(10)]
    assert after[40:] == before[40:]
    for old, new in zip(before[:40], after[:40], strict=True):
        assert new["created_at"] == old["created_at"]
        assert new["updated_at"] > old["updated_at"]
    assert (await client.patch("/developers/bulk", json=changes)).json() == {"updated": 40}
    assert (await client.patch("/developers/bulk", json=[])).json() == {"updated": 0}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"id": 2**62, "name": "Nobody"}, 404),
        ({"name": "second"}, 422),
        ({"email": "d0@example.com"}, 409),
    ],
    ids=["unknown", "twice", "taken"],
)
async def test_a_change_that_cannot_be_made_is_named_and_none_is_made(
    client: AsyncClient, change: dict[str, object], status: int
) -> None:
    await create(client, developers(30))
    before = await exported(client)
    changes: Developers = [{"id": d["id"], "specialty": "new"} for d in before[1:20]]
    changes[3] = {"id": before[4]["id"], "name": "new"}  # another group of fields
    changes.insert(17, {"id": before[25]["id"], **change} if status == 409 else {"id": before[7]["id"], **change})
    response = await client.patch("/developers/bulk", json=changes)
    assert response.status_code == status, response.text
    assert response.json()["row"] == 17
    assert await exported(client) == before


async def test_changes_that_are_not_valid_are_named(client: AsyncClient) -> None:
    for change in ({"name": "x"}, {"id": 0}, {"id": 2**63}, {"id": 1, "name": None}, {"id": 1, "created_at": "now"}):
        response = await client.patch("/developers/bulk", json=[{"id": 1, "name": "fine"}, change])
        assert response.status_code == 422, change
        assert response.json()["errors"][0]["field"].startswith("body.1"), change


def test_the_documentation_shows_the_bodies_of_rows() -> None:
    paths = create_app().openapi()["paths"]
    schema = paths["/developers/bulk"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["items"] == {"$ref": "#/components/schemas/DeveloperCreate"}


async def test_round_trips_do_not_grow_with_the_number_of_rows(
    client: AsyncClient, round_trips: Callable[..., Awaitable[int]]
) -> None:
    async def cost(number: int) -> dict[str, int]:
        new = [[row | {"email": f"{n}-{number}-{row['email']}"} for row in developers(number)] for n in range(3)]
        costs = {"fail": await round_trips(*(("POST", "/developers/bulk", rows) for rows in new))}
        for mode in ("skip", "update"):
            costs[mode] = await round_trips(*(("POST", f"/developers/bulk?on_conflict={mode}", rows) for rows in new))
        ids = [developer["id"] for developer in await exported(client)][:number]
        changes = [[{"id": id, "name": f"New {n}"} for id in ids] for n in range(3)]
        costs["change"] = await round_trips(*(("PATCH", "/developers/bulk", rows) for rows in changes))
        costs["export"] = await round_trips(*[("GET", "/developers/export", None)] * 3)
        return costs

    few, many = await cost(10), await cost(1_000)
    assert few == {"fail": 7, "skip": UPSERT_ROUND_TRIPS, "update": UPSERT_ROUND_TRIPS, "change": 10, "export": 1}
    assert many == few | {"export": 4}
