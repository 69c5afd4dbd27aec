"""Reading without a framework: an ASGI application on the driver's own pool, with the JSON of the other candidates.

What is between this and the floor is what FastAPI costs: routing, validation, serialization, its exit stacks. `fetch`
returns the rows of a statement as tuples of id, name, email, specialty and two instants.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

Fetch = Callable[[str, int], Awaitable[Sequence[Sequence[Any]]]]
Message = dict[str, Any]

COLUMNS = ("id", "name", "email", "specialty", "created_at", "updated_at")
BY_ID = f"SELECT {', '.join(COLUMNS)} FROM developers WHERE id = {{}}"
PAGE = f"SELECT {', '.join(COLUMNS)} FROM developers ORDER BY name, id LIMIT {{}}"


def developer(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(COLUMNS, (*row[:4], instant(row[4]), instant(row[5])), strict=True))


def instant(value: datetime) -> str:
    return value.replace(tzinfo=value.tzinfo or UTC).isoformat().replace("+00:00", "Z")


class Service:
    """`start` opens the pool and gives `fetch`, `stop` closes it."""

    def __init__(self, placeholder: str, start: Callable[[], Awaitable[Fetch]], stop: Callable[[], Awaitable[None]]):
        self.by_id, self.page = BY_ID.format(placeholder), PAGE.format(placeholder)
        self.start, self.stop = start, stop

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self.fetch = await self.start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
        status, answer = await self.answer(scope["path"], scope["query_string"])
        content = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def answer(self, path: str, query: bytes) -> tuple[int, object]:
        id = path.removeprefix("/developers").removeprefix("/")
        if id:
            rows = await self.fetch(self.by_id, int(id))
            return (200, developer(rows[0])) if rows else (404, {"status": 404})
        limit = int(parse_qs(query.decode()).get("limit", ["50"])[0])
        found = [developer(row) for row in await self.fetch(self.page, limit + 1)]
        return 200, {"items": found[:limit], "next_cursor": "more" if len(found) > limit else None}
