"""What each way of moving rows is given, and how it is timed: this runs in a rendered service's own environment.

The ways of a process take turns, round by round, each in a transaction that is rolled back, so that all of them meet
the same table. COMMIT is not timed: it costs the same for all.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

sys.path.insert(0, os.getcwd())  # noqa: PTH109  # the service's folder
from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table, select

from app.database import Database, driver
from app.database.bulk import bulk_insert
from app.settings import DatabaseSettings

INSERTED, UPDATED, STORED = 50_000, 10_000, 50_000
LIMITS = {"transaction_timeout": 600, "statement_timeout": 600}

metadata = MetaData()
people = Table(
    "bench_people",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("email", String(254), nullable=False, unique=True),
    Column("specialty", String(50), nullable=False),
    Column("number", Integer, nullable=False),
    Column("amount", Float, nullable=False),
)
stored = Table("bench_stored", metadata, *(column.copy() for column in people.columns))


def person(number: int) -> dict[str, Any]:
    return {
        "name": f"Name {number}",
        "email": f"person{number}@example.com",
        "specialty": f"specialty {number % 50}",
        "number": number,
        "amount": number * 1.5,
    }


NAMES = ["name", "email", "specialty", "number", "amount"]


def tuples(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The values of rows, in the order of their names: NAMES, for those of `person`."""
    return [tuple(row.values()) for row in rows]


@dataclass
class Context:
    """`rows` are inserted into `people`; `changes` are made to `stored`, which has rows; `raw` is the driver's own."""

    session: Any
    raw: Any
    rows: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    own: Any = None


@dataclass(frozen=True)
class Way:
    """`share` of the rows is measured where all of them would take too long; the time is that of all."""

    operation: str
    name: str
    move: Callable[[Context], Awaitable[object]]
    share: float = 1.0
    seconds: list[float] = field(default_factory=list)


WAYS: list[Way] = []


def way(
    operation: str, name: str, share: float = 1.0
) -> Callable[[Callable[[Context], Awaitable[object]]], Callable[[Context], Awaitable[object]]]:
    def add(move: Callable[[Context], Awaitable[object]]) -> Callable[[Context], Awaitable[object]]:
        WAYS.append(Way(operation, name, move, share))
        return move

    return add


class RollBack(Exception):
    pass


async def measure(rounds: int, execute: Callable[[Any, str], Awaitable[object]], open_own: Any = None) -> None:
    """Print the seconds of each way, as JSON. `open_own` makes a connection for ways that need one of their own."""
    settings = DatabaseSettings(_env_file=None).model_copy(update=LIMITS)
    await _create_tables(settings, execute)
    database = Database(settings)
    rows = [person(number) for number in range(INSERTED)]
    async with database.transaction() as session:
        await bulk_insert(session, stored, (person(number) for number in range(STORED)))
    async with database.transaction() as session:
        found = await _ids(await _raw(session))
    changes = [{"id": id, "name": f"New {id}", "number": id * 2} for id in found[:UPDATED]]
    own = await open_own(settings) if open_own else None
    for _ in range(rounds + 1):
        for one in WAYS:
            count = int(len(rows) * one.share), int(len(changes) * one.share)
            try:
                async with database.transaction() as session:
                    context = Context(session, await _raw(session), rows[: count[0]], changes[: count[1]], own)
                    started = time.perf_counter()
                    await one.move(context)
                    one.seconds.append((time.perf_counter() - started) / one.share)
                    raise RollBack
            except RollBack:
                pass
    await database.close()
    if own is not None:
        own.close()
    print(json.dumps([(w.operation, w.name, w.share, w.seconds[1:]) for w in WAYS]))  # the first round warms up


async def _raw(session: Any) -> Any:
    """The driver's connection of this transaction, which the layer itself gives to nobody."""
    found: list[Any] = []

    async def look(raw: Any) -> None:
        found.append(raw)

    await session._unit.connect(look)
    return found[0]


async def _ids(raw: Any) -> list[int]:
    query = str(select(stored.c.id).order_by(stored.c.id))
    if driver.NAME == "asyncpg":
        return [row[0] for row in await raw.fetch(query)]
    async with raw.cursor() as cursor:
        await cursor.execute(query)
        return [row[0] for row in await cursor.fetchall()]


async def _create_tables(settings: Any, execute: Callable[[Any, str], Awaitable[object]]) -> None:
    raw = await driver.connect(settings.target, settings, read_only=False)
    key = "bigint GENERATED BY DEFAULT AS IDENTITY" if driver.NAME == "asyncpg" else "bigint AUTO_INCREMENT"
    for table in metadata.sorted_tables:
        await execute(
            raw,
            f"CREATE TABLE {table.name} (id {key} PRIMARY KEY, name varchar(100) NOT NULL, "
            "email varchar(254) NOT NULL UNIQUE, specialty varchar(50) NOT NULL, number int NOT NULL, "
            "amount double precision NOT NULL)",
        )
    await driver.close(raw)


def run(execute: Callable[[Any, str], Awaitable[object]], open_own: Any = None) -> None:
    asyncio.run(measure(int(sys.argv[1]), execute, open_own))
