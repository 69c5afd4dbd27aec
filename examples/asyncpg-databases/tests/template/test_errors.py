"""Each error of the server is one of ours, the same on every server and in both access styles."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext, suppress
from ssl import SSLCertVerificationError, SSLError

import pytest
from sqlalchemy import ClauseElement, Update, delete, exc, insert, select, text, update
from sqlalchemy.orm.exc import StaleDataError

from app.database import (
    AccessDenied,
    CheckViolation,
    Database,
    DatabaseError,
    Deadlock,
    ForeignKeyViolation,
    InvalidValue,
    LockTimeout,
    NotNullViolation,
    SchemaMismatch,
    ServerGone,
    SessionClosed,
    StaleRow,
    StatementRefused,
    StatementTimeout,
    TransactionAborted,
    UniqueViolation,
    driver,
)
from app.database.rows import Ran
from app.database.translation import translate
from tests import facts
from tests.probes import probe, probes
from tests.statements import rows, run, savepoint, value
from tests.template import texts

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


def alert(name: str) -> SSLError:
    error = SSLError(1, "what the server says of a certificate")
    error.reason = name
    return error


LIBRARIES: list[tuple[Exception, type[DatabaseError] | None]] = [
    (exc.DBAPIError("SELECT 1", {}, Deadlock()), Deadlock),
    (StaleDataError("1 row expected to be matched"), StaleRow),
    (exc.PendingRollbackError("rolled back by an earlier error"), TransactionAborted),
    (exc.InvalidRequestError("This Session has been permanently closed"), SessionClosed),
    (exc.InvalidRequestError("A transaction is already begun"), StatementRefused),
    (exc.InvalidRequestError("No such column"), None),
    (exc.InvalidRequestError("Instance '<Transaction at 0x7f>' is not persisted"), None),
    (exc.InvalidRequestError("Incorrect number of values in identifier; the key columns are 'transactions.id'"), None),
    (exc.InvalidRequestError("One or more mappers failed to initialize: 'Mapper[Transaction(transactions)]'"), None),
    (exc.InvalidRequestError("Could not refresh instance '<Transaction at 0x7f>'"), None),
    (SSLCertVerificationError(1, "self-signed certificate"), AccessDenied),
    (alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), AccessDenied),
    (alert("WRONG_VERSION_NUMBER"), ServerGone),
    (LookupError("a bug"), None),
]


@pytest.mark.parametrize(("error", "kind"), LIBRARIES, ids=lambda case: type(case).__name__)
def test_an_error_of_a_library_is_one_of_ours_or_nobodys(error: Exception, kind: type[DatabaseError] | None) -> None:
    ours = translate(error, writing=True)
    assert type(ours) is (type(None) if kind is None else kind)


async def test_a_row_that_others_refer_to_cannot_be_deleted(probe_database: MakeDatabase) -> None:
    database = probe_database()
    with pytest.raises(ForeignKeyViolation) as caught:
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            await run(session, insert(probes).values(probe(2, parent_id=1)))
            await run(session, delete(probes).where(probes.c.id == 1))
    assert caught.value.constraint == "fk_probes_parent_id"


@pytest.mark.parametrize("statement", ["SELECT nothing FROM probes", "SELECT 1 FROM nowhere"])
async def test_a_table_or_a_column_that_is_not_there_is_told_from_other_bugs(
    probe_database: MakeDatabase, statement: str
) -> None:
    async with probe_database().read() as session:
        with pytest.raises(SchemaMismatch) as caught:
            await run(session, text(statement))
        assert str(caught.value) == SchemaMismatch.title
        with pytest.raises(DatabaseError) as other:
            await run(session, text("SELECT 1 +"))
        assert type(other.value) is DatabaseError


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


async def stored(database: Database) -> dict[int, int]:
    """The value of each row, by its id."""
    async with database.read(primary=True) as session:
        return dict(await rows(session, select(probes.c.id, probes.c.value)))


def plus_one(id: int) -> Update:
    return update(probes).where(probes.c.id == id).values(value=probes.c.value + 1)


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in a savepoint"])
async def test_a_deadlock_that_was_caught_is_half_of_nothing(probe_database: MakeDatabase, nested: bool) -> None:
    database = probe_database(pool_size=2, max_overflow=0)
    async with database.transaction() as session:
        for id in (1, 2):
            await run(session, insert(probes).values(probe(id)))
    both_hold_one = asyncio.Barrier(2)
    victims: list[int] = []
    goes_on = nested and Deadlock not in driver.ENDS_TRANSACTION  # PostgreSQL can take back a part

    async def unit(first: int, second: int) -> None:
        async with database.transaction() as session:
            await run(session, plus_one(first))
            await both_hold_one.wait()
            try:
                async with savepoint(session) if nested else nullcontext():
                    await run(session, plus_one(second))
            except Deadlock:
                victims.append(first)
                for further in (insert(probes).values(probe(3)), insert(probes).values(probe(4))):
                    with nullcontext() if goes_on else pytest.raises(TransactionAborted):
                        await run(session, further)

    ends = await asyncio.gather(unit(1, 2), unit(2, 1), return_exceptions=True)
    (victim,) = victims
    aborted = [isinstance(end, TransactionAborted) for end in ends]
    assert aborted == [not goes_on and victim == id for id in (1, 2)]
    assert ends.count(None) == 2 - sum(aborted)
    if goes_on:
        assert await stored(database) == {victim: 2, 3 - victim: 1, 3: 0, 4: 0}
    else:
        assert await stored(database) == {1: 1, 2: 1}


@pytest.fixture
async def locked(probe_database: MakeDatabase, server: driver.RawConnection) -> AsyncIterator[Database]:
    """A database with row 1, which somebody else has locked."""
    database = probe_database(pool_size=1, max_overflow=0, statement_timeout=1)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
    await driver.begin(server, "READ COMMITTED")
    await driver.scalar(server, "SELECT id FROM probes WHERE id = 1 FOR UPDATE")
    yield database
    await driver.rollback(server)


AT_ONCE = select(probes.c.id).where(probes.c.id == 1).with_for_update(nowait=True)
MEETS_LOCK = pytest.mark.parametrize("statement", [AT_ONCE, plus_one(1)], ids=["NOWAIT", "until the limit"])


@MEETS_LOCK
async def test_a_lock_that_was_met_in_a_savepoint_leaves_the_rest_of_the_unit(
    locked: Database, server: driver.RawConnection, statement: ClauseElement
) -> None:
    async with locked.transaction() as session:
        await run(session, insert(probes).values(probe(2)))
        with pytest.raises((LockTimeout, StatementTimeout)) as caught:
            async with savepoint(session):
                await run(session, insert(probes).values(probe(3)))
                await run(session, statement)
        assert statement is not AT_ONCE or caught.type is LockTimeout
        await run(session, insert(probes).values(probe(4)))
    await driver.rollback(server)
    assert await stored(locked) == {1: 0, 2: 0, 4: 0}


@MEETS_LOCK
async def test_a_lock_that_was_met_and_caught_without_a_savepoint_ends_the_unit(
    locked: Database, server: driver.RawConnection, statement: ClauseElement
) -> None:
    with pytest.raises(TransactionAborted) as aborted:
        async with locked.transaction() as session:
            await run(session, insert(probes).values(probe(2)))
            with pytest.raises((LockTimeout, StatementTimeout)):
                await run(session, statement)
            with pytest.raises(TransactionAborted):
                await run(session, insert(probes).values(probe(3)))
    await driver.rollback(server)
    assert await stored(locked) == {1: 0}
    assert aborted.value.status == 500


@pytest.mark.usefixtures("no_pooler")  # behind which such statements are refused
@pytest.mark.parametrize(("make", "end", "drop"), texts.ENDING.values(), ids=texts.ENDING.keys())
async def test_a_unit_whose_transaction_was_ended_from_inside_is_not_reported_as_committed(
    probe_database: MakeDatabase, server: driver.RawConnection, make: str | None, end: str, drop: str | None
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    if make:
        await driver.scalar(server, make)
    later = probe(2)
    with pytest.raises(DatabaseError):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            with suppress(DatabaseError):
                await run(session, text(end))
            with pytest.raises(TransactionAborted):
                await run(session, insert(probes).values(later))
    if drop:
        await driver.scalar(server, drop)
    assert 2 not in await stored(database)
    async with database.transaction() as session:
        await run(session, insert(probes).values(later))
    assert 2 in await stored(database)


@pytest.mark.usefixtures("no_pooler")
async def test_a_server_that_went_away_in_a_transaction_cannot_be_ignored(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    with pytest.raises(DatabaseError):
        async with database.transaction() as session:
            await run(session, insert(probes).values(probe(1)))
            await facts.kill(server, await value(session, text(facts.SESSION_ID)))
            with pytest.raises(ServerGone):
                await run(session, insert(probes).values(probe(2)))
            for id in (3, 4):
                with pytest.raises(DatabaseError):
                    await run(session, insert(probes).values(probe(id)))
    assert await stored(database) == {}
    assert database.status().in_use == 0


async def test_a_value_that_no_statement_can_carry_is_said_to_be_one_and_costs_no_connection(
    probe_database: MakeDatabase,
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() as session:
        id = await value(session, text(facts.SESSION_ID))
        with pytest.raises(InvalidValue):
            async with savepoint(session):
                await run(session, insert(probes).values(probe(1, name="\ud800")))
        await run(session, insert(probes).values(probe(2)))
        assert await value(session, text(facts.SESSION_ID)) == id
    assert await stored(database) == {2: 0}


async def test_an_error_of_ours_that_a_driver_module_raises_keeps_its_cause(probe_database: MakeDatabase) -> None:
    """For the log, and for the span of the statement."""
    cause = ValueError("of the driver")

    async def send(raw: driver.RawConnection, statement: str, arguments: object) -> Ran:
        raise InvalidValue from cause

    async with probe_database().read() as session:
        with pytest.raises(InvalidValue) as caught:
            await session._unit.run("SELECT 1", (), send)
    assert caught.value.__cause__ is cause
