"""INSERT ... ON DUPLICATE KEY UPDATE of many rows. By itself it acts on a conflict with any key and says little of what
it did; here it fails on another key than the one that was meant, and the numbers are true.
"""

import re
from collections.abc import Sequence
from typing import Any

import pymysql
from sqlalchemy import Column

from app.database import driver
from app.database.bulk.columns import Columns
from app.database.bulk.rows import Batch
from app.database.bulk.statements import insert_into, packets
from app.database.errors import UniqueViolation
from app.database.rows import Ran
from app.database.unit import Unit

_DUPLICATES = re.compile(rb"Duplicates: (\d+)")
_OUT_OF_RANGE = 1690
_NO_MARK = "DO LAST_INSERT_ID(0)"  # which the next unit would meet
_THERE = 2**64 - 1  # ~0, which is no key that a server makes


async def insert_or_update(unit: Unit, batch: Batch, keys: Columns, update: Columns, touch: Columns) -> tuple[int, int]:
    """How many were inserted and updated."""
    head, tail = (insert_into(batch), _on_duplicate_key(batch, keys, update, touch))
    inserted = updated = 0

    async def send(raw: driver.RawConnection, statement: str, arguments: Sequence[Any]) -> Ran:
        nonlocal inserted, updated
        await driver.finish_stream(raw)  # the rows may come from one
        for values in packets(raw, batch):
            text = head + ",".join(values) + tail
            try:
                affected, there = await (_alone(raw, text) if len(values) == 1 else _together(raw, text))
            except pymysql.err.DatabaseError as error:
                if error.args[0] == _OUT_OF_RANGE:
                    raise UniqueViolation from error
                raise
            # A new row counts once; one that was there counts once, or twice if it changed (CLIENT.FOUND_ROWS).
            inserted += len(values) - there
            updated += affected - len(values)
        return Ran((), None, inserted + updated)

    await unit.run(head + tail, (), send, own=True)
    return inserted, updated


async def _together(raw: driver.RawConnection, text: str) -> tuple[int, int]:
    """What the rows count, and how many were there: the duplicates, which only the text of the answer has."""
    affected = await raw.query(f"{text}; {_NO_MARK}")
    found = _DUPLICATES.search(raw._result.message)
    await raw.next_result()
    return affected, int(found[1]) if found else 0


async def _alone(raw: driver.RawConnection, text: str) -> tuple[int, int]:
    """The same for one row, of which the answer has no text. That of the INSERT loses the mark where triggers insert:
    https://dev.mysql.com/doc/refman/9.7/en/information-functions.html#function_last-insert-id
    """
    await raw.query(f"{_NO_MARK}; {text}; SELECT LAST_INSERT_ID(); {_NO_MARK}")  # one round trip
    affected = await raw.next_result()
    await raw.next_result()
    ((mark,),) = raw._result.rows
    await raw.next_result()
    return affected, mark == _THERE


def _on_duplicate_key(batch: Batch, keys: Columns, update: Columns, touch: Columns) -> str:
    """Assignments take effect from left to right, so what depends on old values comes first."""

    def old(column: Column[Any]) -> str:
        return f"{batch.table_name()}.{batch.names([column])}"

    def new(column: Column[Any]) -> str:  # each server reads its own comment; MySQL would warn of VALUES()
        return f"/*!80020 {alias}.{batch.names([column])} *//*M! VALUES({batch.names([column])}) */"

    alias = "given" + "_" * (batch.table.name.lower() == "given")
    meant = " AND ".join(f"COALESCE({old(key)} = {new(key)}, FALSE)" for key in keys)
    # As stored: to a collation 'bob' and 'Bob' are one, and the text of a FLOAT has six digits.
    pairs = [(old(column), new(column)) for column in update]
    same = " AND ".join(f"{a} <=> {b} AND CAST({a} AS BINARY) <=> CAST({b} AS BINARY)" for a, b in pairs)
    key = keys[0]
    # Of no effect but the mark; out of range for a row that is there by another key.
    assignments = [f"{old(key)} = IF(LAST_INSERT_ID(~0 + (NOT ({meant}))), {old(key)}, {old(key)})"]
    assignments += [f"{old(column)} = IF({same}, {old(column)}, {new(column)})" for column in touch]
    assignments += [f"{old(column)} = {new(column)}" for column in update]
    return f" /*!80020 AS {alias} */ ON DUPLICATE KEY UPDATE {', '.join(assignments)}" % ()
