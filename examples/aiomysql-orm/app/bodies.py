"""Request bodies of many rows: read up to a limit and no further, checked beside the event loop, and each mistake named
with the index of its row.
"""

import re
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from app.limits import allow

Row = TypeVar("Row", bound=BaseModel)

# To the end where it is not closed: looked for again from each quotation mark in it, it would take hours.
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
MOST_ERRORS = 20_000  # more than these are only counted: to list them would take a second, in which nothing else runs


class RowsBody(Generic[Row]):
    """A dependency: the JSON array of the body, each item checked by `model`.

    It answers 413 to more than `rows` rows, `size` bytes or `values` values, 415 to what is not JSON, 422 to rows that
    are not valid. A route names it before its session, so that a slow upload holds no connection.

    `values` are those of all rows together, by default five more a row than the model has fields: each may be a
    mistake, and pydantic makes an error of 700 bytes of each before it says how many there are.
    """

    def __init__(
        self, model: type[Row], *, rows: int = 10_000, size: int = 8 * 1024 * 1024, values: int | None = None
    ) -> None:
        self._model = model
        limited = Field(max_length=rows)  # which ends it there, however many mistakes there were before
        rows_of_model: Any = Annotated[list[model], limited]  # type: ignore[valid-type]  # a class to pydantic
        self._adapter: TypeAdapter[list[Row]] = TypeAdapter(rows_of_model)
        self._rows = rows
        self._size = size
        self._values = values

    async def __call__(self, request: Request) -> list[Row]:
        if not request.headers.get("Content-Type", "").partition(";")[0].strip().lower().endswith("json"):
            raise HTTPException(415, "Send application/json")
        return await run_in_threadpool(self._check, await self._read(request))

    @property
    def openapi(self) -> dict[str, Any]:
        """For the `openapi_extra` of routes from before 0.7.0, whose tests know it; the others need none."""
        return self._described({"type": "array", "maxItems": self._rows, "items": self._model.model_json_schema()})

    @property
    def operation(self) -> dict[str, Any]:
        """The body, for app/openapi.py: FastAPI does not see what a dependency reads."""
        schema = {name: value for name, value in self._schema.items() if name != "$defs"}
        return self._described({**schema, "maxItems": self._rows})

    @property
    def definitions(self) -> dict[str, Any]:
        """The schemas that it refers to, by the names that they have in the document's components."""
        definitions: dict[str, Any] = self._schema["$defs"]
        return definitions

    @cached_property
    def _schema(self) -> dict[str, Any]:
        return self._adapter.json_schema(ref_template="#/components/schemas/{model}")

    @cached_property
    def _most_values(self) -> int:
        schemas = self._schema, *self._schema.get("$defs", {}).values()
        return self._values or self._rows * (sum(len(each.get("properties", {})) for each in schemas) + 5)

    @staticmethod
    def _described(schema: dict[str, Any]) -> dict[str, Any]:
        return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}

    async def _read(self, request: Request) -> bytes:
        allow(request.scope, self._size)
        announced = request.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > self._size:
            raise self._too_large(f"{self._size:,} bytes")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._size:
                raise self._too_large(f"{self._size:,} bytes")
        return bytes(body)

    def _check(self, body: bytes) -> list[Row]:
        most = self._most_values
        if body.count(b",") >= most and _TEXT.sub(b"", body).count(b",") >= most:
            raise self._too_large(f"{most:,} values")
        try:
            rows: list[Row] = self._adapter.validate_json(body)
        except ValidationError as error:
            if (count := error.error_count()) > MOST_ERRORS:
                raise RequestValidationError(
                    [{"loc": ["body"], "msg": f"{count:,} errors, too many to list"}]
                ) from None
            found = error.errors(include_url=False, include_context=False, include_input=False)
            if found[0]["type"] == "too_long" and not found[0]["loc"]:
                raise self._too_large(f"{self._rows:,} rows") from None
            raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None
        return rows

    @staticmethod
    def _too_large(limit: str) -> HTTPException:
        return HTTPException(413, f"Send at most {limit} at a time")
