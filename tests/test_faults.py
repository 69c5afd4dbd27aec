"""The client that keeps books finds what a service does wrong; and the faults in small, on every combination.

`make faults` does all of them, and writes docs/faults.md.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from books import UNKNOWN, Balance, Books, Row
from faults import SHORT
from harness import COMBINATIONS, combination_id
from trial import Result, judged, results, world

Answer: TypeAlias = tuple[int, Mapping[str, Any]]
Lie: TypeAlias = Callable[["Lying", str, Answer], Answer | None]
NO_ANSWER, LATE = 0, -1
ROWS = 3


class Lying:
    """A service over HTTP/1.1 that stores rows, and what `lie` makes of the answer to a request."""

    def __init__(self, lie: Lie) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self._lie = lie

    def answer(self, method: str, number: int, body: dict[str, Any]) -> Answer:
        if method == "POST":
            number = len(self.rows) + 1
            self.rows[number] = {**body, "id": number}
        elif method == "PATCH":
            self.rows[number] |= body
        return 201 if method == "POST" else 200, self.rows[number]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                method, path, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().replace(" ", "\n", 2).split("\n")
                length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
                body = json.loads(await reader.readexactly(length) or b"{}")
                last = path.rpartition("/")[2]
                answer = self.answer(method, int(last) if last.isdecimal() else 0, body)
                status, document = self._lie(self, method, answer) or answer
                if status == NO_ANSWER:
                    return
                if status == LATE:
                    await asyncio.sleep(0.5)
                    return
                kind = "problem+json" if status >= 400 and document else "json"
                content = json.dumps(document).encode()
                writer.write(f"HTTP/1.1 {status} -\r\nContent-Type: application/{kind}\r\n".encode())
                writer.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def honest(service: Lying, method: str, answer: Answer) -> None:
    return None


def problem(status: int, type: str = "about:blank") -> Answer:
    return status, {"type": type, "title": "-", "status": status}


def nothing(service: Lying) -> None:
    pass


def kept(lie: Lie = honest, afterwards: Callable[[Lying], object] = nothing, patience: float = 5) -> Balance:
    """The balance of some rows that were written, changed and read, of a service that tells a lie."""

    @asynccontextmanager
    async def serving() -> AsyncIterator[tuple[Lying, Books]]:
        service = Lying(lie)
        async with await asyncio.start_server(service.serve, "127.0.0.1", 0) as server:
            books = Books(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", patience=patience)
            async with books.open():
                yield service, books

    async def trial() -> Balance:
        async with serving() as (service, books):
            for number in range(ROWS):
                row = Row(f"{number}@example.com")
                books.rows[row.email] = row
                if await books.create(row) and await books.change(row):
                    await books.read(row)
            afterwards(service)
            return books.balance([(row["email"], row["name"], row["specialty"]) for row in service.rows.values()], 0)

    return asyncio.run(trial())


def test_the_books_of_an_honest_service_balance() -> None:
    balance = kept()
    assert (balance.requests, balance.acknowledged, balance.faults) == (3 * ROWS, 2 * ROWS, {}), balance.examples
    assert judged(balance, struck=1) is None
    assert judged(balance, struck=0) == "the fault did not happen"


def test_a_write_that_was_acknowledged_and_is_not_there_is_lost() -> None:
    balance = kept(afterwards=lambda service: service.rows.pop(2))
    assert balance.faults == {"lost": 1}
    assert str(judged(balance, struck=1)).startswith("lost 1; 1@example.com: stored is None")


def test_a_change_that_was_acknowledged_and_is_undone_is_lost() -> None:
    assert kept(afterwards=lambda service: service.rows[1].update(specialty="value 1")).faults == {"lost": 1}


def test_a_refused_write_that_is_there_was_stored_though_refused() -> None:
    refused = kept(lambda service, method, answer: problem(503) if method == "POST" else None)
    assert refused.faults == {"stored_though_refused": ROWS}


@pytest.mark.parametrize("answer", [(NO_ANSWER, {}), problem(504, UNKNOWN)], ids=["none", "one that says so"])
def test_a_write_of_unknown_outcome_may_be_there_or_not(answer: Answer) -> None:
    def lie(service: Lying, method: str, _: Answer) -> Answer:
        return answer

    assert (kept(lie).unknown, kept(lie).faults) == (ROWS, {})
    assert kept(lie, afterwards=lambda service: service.rows.clear()).faults == {}


@pytest.mark.parametrize("lie", ["another row", "not there", "another value", "half a document"])
def test_what_is_read_and_was_not_written_is_a_wrong_answer(lie: str) -> None:
    def tell(service: Lying, method: str, answer: Answer) -> Answer | None:
        if method != "GET":
            return None
        wrong: dict[str, Answer] = {
            "another row": (200, service.rows[1] | {"email": "other@example.com"}),
            "not there": problem(404),
            "another value": (200, {**answer[1], "specialty": "nobody wrote this"}),
            "half a document": (200, {"id": answer[1]["id"]}),
        }
        return wrong[lie]

    assert kept(tell).faults == {"wrong_answers": ROWS}


def test_an_error_that_is_not_mapped_and_a_request_without_an_end_are_counted() -> None:
    assert kept(lambda service, method, answer: (500, {}) if method == "GET" else None).faults == {"unmapped": ROWS}
    hung = kept(lambda service, method, answer: (LATE, {}) if method == "GET" else None, patience=0.1)
    assert hung.faults == {"hung": ROWS}


@pytest.mark.slow
@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_a_fault_loses_nothing_and_stores_nothing_that_was_refused(combination: dict[str, str]) -> None:
    async def trial() -> list[Result]:
        with world(combination, short=True) as ready:
            return [result async for result in results(ready, SHORT)]

    found = asyncio.run(trial())
    assert [result.fault for result in found] == list(SHORT)
    assert [f"{result.fault}: {result.missed}" for result in found if result.missed or result.skipped] == []
