"""The measured requests, as bytes: the load generator sends them as they are, so that it costs little itself."""

import json
import random
from collections.abc import Callable, Iterator
from itertools import count

DEVELOPERS = 10_000
"""Rows in the table of developers before anything is created, with ids from 1 on; each has a note."""

PAGE = 100

# Digits joined with each other are the one way to make rows that every server understands.
_DIGITS = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
NUMBERS = f"""SELECT 1 + a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS n
    FROM ({_DIGITS}) AS a CROSS JOIN ({_DIGITS}) AS b CROSS JOIN ({_DIGITS}) AS c CROSS JOIN ({_DIGITS}) AS e"""
SEED = [
    f"""INSERT INTO developers (name, email, specialty, created_at, updated_at)
        SELECT CONCAT('Developer ', 100000 + n), CONCAT('developer-', n, '@example.com'), CONCAT('specialty ', n % 20),
            CURRENT_TIMESTAMP, CURRENT_TIMESTAMP FROM ({NUMBERS}) AS numbers ORDER BY n""",
    """INSERT INTO notes (developer_id, text, created_at)
        SELECT id, CONCAT('A note of developer ', id), CURRENT_TIMESTAMP FROM developers ORDER BY id""",
]


def _request(method: str, path: str, body: object = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: application/json"]
    if content:
        head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*head, "", ""]).encode() + content


def read(salt: int) -> Iterator[bytes]:
    chosen = random.Random(salt)  # the same keys for every candidate of a round
    while True:
        yield _request("GET", f"/developers/{chosen.randint(1, DEVELOPERS)}")


def list_page(salt: int) -> Iterator[bytes]:
    request = _request("GET", f"/developers?limit={PAGE}")
    while True:
        yield request


def create(salt: int) -> Iterator[bytes]:
    for n in count():
        body = {"name": f"New {salt}-{n}", "email": f"New-{salt}-{n}@Example.com", "specialty": f"specialty {n % 20}"}
        yield _request("POST", "/developers", body)


def transfer(salt: int) -> Iterator[bytes]:
    """There and back between neighbours, so that the notes stay about evenly spread; two at once rarely meet."""
    for n in count():
        pair = [1 + 2 * (n % (DEVELOPERS // 2)), 2 + 2 * (n % (DEVELOPERS // 2))]
        one, other = pair if (n // (DEVELOPERS // 2) + salt) % 2 else pair[::-1]
        yield _request("POST", "/notes/transfer", {"from_developer_id": one, "to_developer_id": other})


def peer_list(salt: int) -> Iterator[bytes]:
    request = _request("GET", f"/api/dummy/?limit={PAGE}")
    while True:
        yield request


def peer_create(salt: int) -> Iterator[bytes]:
    for n in count():
        yield _request("PUT", "/api/dummy/", {"name": f"New {salt}-{n}"})


REQUESTS: dict[str, Callable[[int], Iterator[bytes]]] = {
    "read": read,
    "list": list_page,
    "create": create,
    "transfer": transfer,
    "peer-list": peer_list,
    "peer-create": peer_create,
}
