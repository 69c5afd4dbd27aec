"""Answers of any length: a JSON document a line, page by page, as fast as the client reads.

What fails before the first page is an ordinary problem. What fails later ends the connection without the end of the
body, so that the client sees an error and never takes a part for the whole.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from pydantic import BaseModel
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "application/x-ndjson"


def lines_of(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """For the `responses` of a route that answers with `ndjson`. OpenAPI 3.1 has no words for a schema of each line."""
    schema = {"type": "string", "description": f"A {model.__name__} on each line, as JSON"}
    return {200: {"content": {MEDIA_TYPE: {"schema": schema}}}}


async def ndjson(pages: AsyncIterator[Sequence[BaseModel]]) -> StreamingResponse:
    """The response, once the first page is there."""
    nothing: Sequence[BaseModel] = []  # no tuple: python/cpython#128078
    first = await anext(pages, nothing)

    async def lines() -> AsyncGenerator[str]:
        yield _lines(first)
        async for page in pages:
            yield _lines(page)

    return _Closing(lines(), pages)


class _Closing(StreamingResponse):
    """Closes the pages with the answer, however that ends: nobody else would, and they may hold a session."""

    media_type = MEDIA_TYPE

    def __init__(self, lines: AsyncGenerator[str], pages: AsyncIterator[Sequence[BaseModel]]) -> None:
        super().__init__(lines)
        self._generators = lines, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            for each in self._generators:
                if isinstance(each, AsyncGenerator):
                    await each.aclose()


def _lines(page: Sequence[BaseModel]) -> str:
    return "".join(f"{item.model_dump_json()}\n" for item in page)
