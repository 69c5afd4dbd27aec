"""Pages of developers cost the same at any depth, and rows that are added do not move them. This file is the team's."""

import random
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from app.database import Database, Session, driver
from app.database.bulk import bulk_insert
from app.developers import queries
from app.models import metadata
from app.pagination import encode_cursor
from tests import facts
from tests.statements import rows

ROWS, SPECIALTIES = 40_000, 10  # page 1000 is in their middle: of the last ones a server may rather read all


def developer(number: int, name: str) -> dict[str, object]:
    now = datetime.now(UTC)
    return {
        "name": name,
        "email": f"d{number}@example.com",
        "specialty": f"s{number % SPECIALTIES}",
        "created_at": now,
        "updated_at": now,
    }


@pytest.fixture
async def filled(database: Database, server: driver.RawConnection) -> Database:
    """Many developers, which the server has statistics of."""
    numbers = random.Random(7).sample(range(ROWS), ROWS)  # stored in no order, as they come
    async with database.transaction() as session:
        # Ten of each name: pages end within one, and the id decides.
        await bulk_insert(session, metadata.tables["developers"], (developer(n, f"Name {n // 10:05}") for n in numbers))
    await driver.scalar(server, facts.ANALYZE.format("developers"))
    return database


async def cursor_before(session: Session, page: int, limit: int, specialty: str | None) -> str | None:
    """What a client has in hand that has seen all pages before this one, counted from 1."""
    if page == 1:
        return None
    table = metadata.tables["developers"]
    query = table.select().order_by(table.c.name, table.c.id).offset((page - 1) * limit - 1).limit(1)
    if specialty:
        query = query.where(table.c.specialty == specialty)
    ((id, name, *_),) = await rows(session, query)
    return encode_cursor((name, id))


@pytest.mark.parametrize(
    ("specialty", "limit", "index"),
    [(None, 20, "ix_developers_name_id"), ("s1", 2, "ix_developers_specialty_name_id")],
)
async def test_page_1000_reads_as_few_rows_as_page_1_by_its_index(
    filled: Database, specialty: str | None, limit: int, index: str
) -> None:
    async def read(page: int) -> int:
        async with filled.transaction() as session:  # in one transaction PostgreSQL counts what it reads
            cursor = await cursor_before(session, page, limit, specialty)
            before = await facts.rows_read(session, "developers")
            found = await queries.page(session, specialty=specialty, limit=limit, cursor=cursor)
            count = await facts.rows_read(session, "developers") - before
            assert len(found.items) == limit
            assert found.next_cursor
            query = queries.page_query(specialty=specialty, limit=limit, cursor=cursor)
            plan = await facts.plan(session, query)
            assert index in plan, plan
            assert "sort" not in plan.lower(), plan
            return count

    first, thousandth = await read(1), await read(1000)
    assert limit < first <= limit + 5
    assert limit < thousandth <= limit + 15  # at most ten of the same name are passed over


async def test_rows_that_are_added_between_pages_neither_repeat_nor_hide_others(filled: Database) -> None:
    seen: list[int] = []
    cursor = None
    for round in range(6):
        async with filled.read() as session:
            page = await queries.page(session, specialty="s0", limit=7, cursor=cursor)
        seen += [developer.id for developer in page.items]
        cursor = page.next_cursor
        async with filled.transaction() as session:
            table = metadata.tables["developers"]
            added = [developer(10**6 + 2 * round, "A first name"), developer(10**7 + 2 * round, "Z last name")]
            await bulk_insert(session, table, added)
    async with filled.read() as session:
        query = text(
            "SELECT id FROM developers WHERE specialty = 's0' AND name LIKE 'Name%' ORDER BY name, id LIMIT 42"
        )
        assert seen == [id for (id,) in await rows(session, query)]
