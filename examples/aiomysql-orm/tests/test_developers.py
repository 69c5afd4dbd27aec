"""Developers over HTTP. This file is the team's."""

from collections.abc import Awaitable, Callable

from httpx import AsyncClient

ADA = {"name": "Ada Lovelace", "email": "Ada@Example.com", "specialty": "engines"}


async def create(client: AsyncClient, **changes: str) -> dict[str, str]:
    response = await client.post("/developers", json={**ADA, **changes})
    assert response.status_code == 201, response.text
    developer: dict[str, str] = response.json()
    return developer


async def test_a_created_developer_can_be_read(client: AsyncClient) -> None:
    response = await client.post("/developers", json=ADA)
    assert response.status_code == 201
    developer = response.json()
    assert developer["email"] == "ada@example.com"
    assert developer["created_at"] == developer["updated_at"]
    assert developer["created_at"].endswith("Z")
    location = response.url.join(response.headers["Location"])
    assert location.path == f"/developers/{developer['id']}"
    assert (await client.get(location)).json() == developer


async def test_a_second_developer_with_the_same_email_is_a_conflict(client: AsyncClient) -> None:
    await create(client)
    response = await client.post("/developers", json={**ADA, "email": "ADA@example.com"})
    assert response.status_code == 409
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["constraint"] == "uq_developers_email"
    assert len((await client.get("/developers")).json()["items"]) == 1


async def test_a_developer_that_is_missing_is_not_found(client: AsyncClient) -> None:
    assert (await client.get("/developers/1")).status_code == 404
    assert (await client.patch("/developers/1", json={"name": "Ada"})).status_code == 404
    assert (await client.delete("/developers/1")).status_code == 404


async def test_a_patch_changes_only_what_it_gives(client: AsyncClient) -> None:
    before = await create(client)
    response = await client.patch(f"/developers/{before['id']}", json={"specialty": "poetry"})
    after = response.json()
    assert response.status_code == 200
    assert after == {**before, "specialty": "poetry", "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    assert (await client.get(f"/developers/{before['id']}")).json() == after


async def test_a_patch_to_an_email_that_is_taken_is_a_conflict_and_changes_nothing(client: AsyncClient) -> None:
    await create(client)
    other = await create(client, email="grace@example.com", name="Grace")
    response = await client.patch(f"/developers/{other['id']}", json={"name": "Eve", "email": ADA["email"]})
    assert response.status_code == 409
    assert (await client.get(f"/developers/{other['id']}")).json() == other


async def test_a_deleted_developer_is_gone(client: AsyncClient) -> None:
    developer = await create(client)
    assert (await client.delete(f"/developers/{developer['id']}")).status_code == 204
    assert (await client.get(f"/developers/{developer['id']}")).status_code == 404


async def test_pages_show_each_developer_once_in_order(client: AsyncClient) -> None:
    for number in range(7):
        await create(client, name=f"Name {number % 3}", email=f"d{number}@example.com", specialty=f"s{number % 2}")
    seen, cursor = [], None
    while True:
        page = (await client.get("/developers", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert [(d["name"], d["id"]) for d in seen] == sorted((d["name"], d["id"]) for d in seen)
    assert len({d["id"] for d in seen}) == len(seen) == 7


async def test_a_list_can_be_narrowed_to_a_specialty(client: AsyncClient) -> None:
    await create(client)
    await create(client, email="grace@example.com", specialty="compilers")
    page = (await client.get("/developers", params={"specialty": "compilers"})).json()
    assert [d["email"] for d in page["items"]] == ["grace@example.com"]


async def test_bad_input_is_named_and_never_a_server_error(client: AsyncClient) -> None:
    bad_bodies = [
        {},
        {**ADA, "name": ""},
        {**ADA, "name": "x" * 101},
        {**ADA, "name": "nul \x00"},
        {**ADA, "email": "not an address"},
        {**ADA, "specialty": None},
        {**ADA, "id": 7},
    ]
    for body in bad_bodies:
        response = await client.post("/developers", json=body)
        assert response.status_code == 422, body
        assert response.json()["errors"][0]["field"].startswith("body."), body
    surrogate = await client.post(
        "/developers", content=b'{"name": "\\ud800", "email": "a@example.com", "specialty": "x"}'
    )
    assert surrogate.status_code == 422
    for query in ({"limit": 0}, {"limit": 101}, {"cursor": "?"}, {"cursor": "AAAA"}, {"specialty": ""}):
        assert (await client.get("/developers", params=query)).status_code == 422, query
    for id in ("0", "-1", "abc", str(2**63)):
        assert (await client.get(f"/developers/{id}")).status_code == 422, id


async def test_each_route_costs_its_statements_and_a_write_two_round_trips_more(
    client: AsyncClient, round_trips: Callable[..., Awaitable[int]]
) -> None:
    bodies = [{**ADA, "email": f"ada-{n}@example.com"} for n in range(3)]
    assert await round_trips(*(("POST", "/developers", body) for body in bodies)) == 3
    paths = [f"/developers/{developer['id']}" for developer in (await client.get("/developers")).json()["items"]]
    assert await round_trips(*(("GET", path, None) for path in paths)) == 1
    assert await round_trips(*(("GET", "/developers", None) for _ in paths)) == 1
    assert await round_trips(*(("PATCH", path, {"name": f"Ada {path}"}) for path in paths)) == 4
    assert await round_trips(*(("DELETE", path, None) for path in paths)) == 3
