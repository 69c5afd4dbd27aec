"""Each error of the server is one of ours, the same on every server and in both access styles."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, insert, select, text

from app.database import (
    CheckViolation,
    Database,
    DatabaseError,
    ForeignKeyViolation,
    InvalidValue,
    LockTimeout,
    NotNullViolation,
    ServerGone,
    StatementTimeout,
    UniqueViolation,
    driver,
)
from tests import facts
from tests.probes import probe, probes
from tests.statements import run, value

MakeDatabase = Callable[..., Database]

SECRET = "a value 4711"
CASES: list[tuple[type[DatabaseError], str | None, dict[str, object]]] = [
    (UniqueViolation, "uq_probes_name", probe(2, name=SECRET)),
    (ForeignKeyViolation, "fk_probes_parent_id", probe(2, parent_id=99)),
    (NotNullViolation, None, probe(2, name=None)),
    (CheckViolation, "ck_probes_value", probe(2, value=1_000_000)),
    (InvalidValue, None, probe(2, name="x" * 21)),
    (InvalidValue, None, probe(2, value=2**31)),
]


@pytest.mark.parametrize(("kind", "constraint", "row"), CASES, ids=lambda case: getattr(case, "__name__", ""))
async def test_a_row_that_breaks_a_rule_says_which(
    probe_database: MakeDatabase, kind: type[DatabaseError], constraint: str | None, row: dict[str, object]
) -> None:
    database = probe_database()
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1, name=SECRET)))
    with pytest.raises(kind) as caught:
        async with database.transaction() as session:
            await run(session, insert(probes).values(row))
    assert type(caught.value) is kind
    assert caught.value.constraint == constraint
    assert str(caught.value) == kind.title  # nothing of the row, of the statement, of the driver
    assert caught.value.__cause__ is not None


async def test_a_row_that_others_refer_to_cannot_be_deleted(probe_database: MakeDatabase) -> None:
    database = probe_database()
    with pytest.raises(ForeignKeyViolation) as caught:
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            await run(session, insert(probes).values(probe(2, parent_id=1)))
            await run(session, delete(probes).where(probes.c.id == 1))
    assert caught.value.constraint == "fk_probes_parent_id"


async def test_an_error_can_be_caught_inside_the_unit_of_work(probe_database: MakeDatabase) -> None:
    async with probe_database().read() as session:
        with pytest.raises(DatabaseError):
            await run(session, text("SELECT nothing FROM nowhere"))
        assert await value(session, select(1)) == 1


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(statement_timeout=0.2, pool_size=1, max_overflow=0)
    with pytest.raises(StatementTimeout):
        async with database.transaction() as session:
            await run(session, text(facts.LONG_QUERY))
    async with database.read() as session:
        assert await value(session, select(1)) == 1
    assert await facts.running(server, facts.LONG_QUERY[:40]) == 0


async def test_a_row_that_stays_locked_is_not_waited_for_for_ever(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(statement_timeout=1)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
    await driver.begin(server, "READ COMMITTED")
    await driver.scalar(server, "SELECT id FROM probes WHERE id = 1 FOR UPDATE")
    with pytest.raises((LockTimeout, StatementTimeout)):
        async with database.transaction() as session:
            await run(session, select(probes.c.id).where(probes.c.id == 1).with_for_update())
    await driver.rollback(server)


@pytest.mark.usefixtures("no_pooler")
async def test_a_session_that_is_killed_is_a_server_that_is_gone_and_the_next_is_well(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.read() as session:
        await facts.kill(server, await value(session, text(facts.SESSION_ID)))
        with pytest.raises(ServerGone):
            await value(session, select(1))
    async with database.read() as session:
        assert await value(session, select(1)) == 1


@pytest.mark.usefixtures("no_pooler")
async def test_connections_that_were_killed_while_idle_are_replaced_unseen(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.read() as session:
        id = await value(session, text(facts.SESSION_ID))
    await facts.kill(server, id)
    async with database.read() as session:
        assert await value(session, text(facts.SESSION_ID)) != id
