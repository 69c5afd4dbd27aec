"""What goes wrong on MySQL and MariaDB alone."""

import asyncio
import random
from collections.abc import Callable
from contextlib import nullcontext, suppress
from time import monotonic
from types import SimpleNamespace

import pymysql
import pytest
import sqlalchemy as sa
from sqlalchemy import insert, select, text, update

from app.database import (
    AccessDenied,
    CheckViolation,
    Database,
    DatabaseError,
    InvalidValue,
    LockTimeout,
    ReadOnlyServer,
    SerializationFailure,
    ServerGone,
    Session,
    TransactionAborted,
    Unavailable,
    UnreadableValue,
    UtcDateTime,
    ValueTooLarge,
    connecting,
    driver,
    error_codes,
)
from app.settings import Settings
from tests import facts
from tests.probes import probe, probes
from tests.statements import rows, run, savepoint, value
from tests.template import ways
from tests.urls import as_user

MakeDatabase = Callable[..., Database]


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in a savepoint"])
async def test_a_row_that_changed_after_the_snapshot_ends_the_unit(
    probe_database: MakeDatabase, server: driver.RawConnection, nested: bool
) -> None:
    if not await driver.scalar(server, "SHOW VARIABLES LIKE 'innodb_snapshot_isolation'"):
        pytest.skip("this server takes no look at its snapshot when it writes: MySQL, or MariaDB before 10.6.18")
    database = probe_database(pool_size=2, max_overflow=0)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))

    async def unit(session: Session) -> None:
        await run(session, text("SET SESSION innodb_snapshot_isolation = ON"))
        assert await value(session, select(probes.c.value)) == 0
        await driver.scalar(server, "UPDATE probes SET value = 1 WHERE id = 1")
        change = update(probes).values(value=5).where(probes.c.id == 1)
        if nested:
            async with savepoint(session):
                await run(session, change)
        await run(session, change)

    with pytest.raises(SerializationFailure):
        async with database.transaction(isolation_level="REPEATABLE READ") as session:
            await unit(session)
    await driver.scalar(server, "UPDATE probes SET value = 0 WHERE id = 1")
    with pytest.raises(TransactionAborted):
        async with database.transaction(isolation_level="REPEATABLE READ") as session:
            await run(session, insert(probes).values(probe(2)))
            with pytest.raises(SerializationFailure):
                await unit(session)
            with pytest.raises(TransactionAborted):
                await run(session, insert(probes).values(probe(3)))
    async with database.read() as session:
        assert await rows(session, select(probes.c.id, probes.c.value)) == [(1, 1)]


@pytest.mark.parametrize(
    "lock",
    ["SELECT id FROM probes WHERE id = 1 FOR UPDATE", "LOCK TABLES probes WRITE"],
    ids=["of a row", "of a table"],
)
@pytest.mark.parametrize(
    "statement", [select(probes).with_for_update(), update(probes).values(value=1)], ids=["SELECT", "UPDATE"]
)
async def test_a_lock_is_waited_for_less_long_than_a_statement_may_take(
    probe_database: MakeDatabase, server: driver.RawConnection, lock: str, statement: sa.ClauseElement
) -> None:
    database = probe_database(statement_timeout=3)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
    await driver.begin(server, "READ COMMITTED")
    await driver.scalar(server, lock)
    with pytest.raises(LockTimeout):
        async with database.transaction() as session:
            await run(session, statement)
    await driver.rollback(server)


Error = pymysql.err.OperationalError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (pymysql.err.ProgrammingError("nan can not be used with MySQL"), InvalidValue),
        (pymysql.err.ProgrammingError("execute() first"), DatabaseError),
        (pymysql.err.Warning("a warning that was turned into an error"), DatabaseError),
        (pymysql.err.InterfaceError("(0, 'Not connected')"), ServerGone),
        (pymysql.err.InternalError("Packet sequence number wrong - got 2 expected 4"), ServerGone),
        (Error(1290, "running with the --super-read-only option so it cannot execute this"), ReadOnlyServer),
        (Error(1290, "running with the --secure-file-priv option so it cannot execute this"), DatabaseError),
        (Error(1015, "Can't lock file (errno: 165 - Table is read only)"), ReadOnlyServer),  # MySQL, innodb_read_only
        (Error(1015, "Can't lock file (errno: 11 - Resource temporarily unavailable)"), DatabaseError),
        (Error(1036, "Table 't' is read only"), ReadOnlyServer),  # MariaDB, innodb_read_only
        (Error(1644, "sold out", sqlstate="45000"), CheckViolation),
        (Error(1644, "found twice", sqlstate="23000"), CheckViolation),
        (Error(1644, "of the team's own", sqlstate="99001"), DatabaseError),
        (Error(1047, "WSREP has not yet prepared node for application use", sqlstate="08S01"), ServerGone),
        (Error(1180, "Error ... (provider status: Not connected to Primary Component)"), ServerGone),
        (Error(1105, "Maximum writeset size exceeded"), ValueTooLarge),
        (Error(1105, "Unknown error"), DatabaseError),
        (Error(3098, "The table does not comply with the requirements by an external plugin."), Unavailable),
        (Error(3101, "rolled back by the group", sqlstate="40000"), SerializationFailure),
        (Error(9999, "a number of later servers", sqlstate="22999"), InvalidValue),
        (Error(9999, "a number of later servers", sqlstate="HY000"), DatabaseError),
        (Error(1264, "from a PyMySQL that knows no SQLSTATE"), InvalidValue),
        (Error(4031, "The client was disconnected by the server because of inactivity."), ServerGone),
        (Error(4081, "Connection closed. Global connection memory limit 1 bytes exceeded."), ServerGone),
        (Error(4081, "Unknown structured system variable or ROW routine variable 'x'"), DatabaseError),
    ],
    ids=str,
)
def test_an_error_is_what_it_says_of_the_server(error: Exception, kind: type[DatabaseError]) -> None:
    assert type(error_codes.classify(error)) is kind


async def test_a_galera_node_that_cannot_wait_for_the_others_is_gone(settings: Settings) -> None:
    async def query(text: str) -> None:
        raise Error(1205, "Lock wait timeout exceeded; try restarting transaction")

    with pytest.raises(ServerGone) as caught:
        await connecting._set_up(SimpleNamespace(query=query), settings.database, read_only=True)
    assert error_codes.code_of(caught.value) == "1205"


@pytest.mark.parametrize("value", ["CONSTRAINT `x`", "Check constraint 'x'", "for key 'x'"])
def test_a_value_in_the_servers_message_is_never_taken_for_a_constraint(value: str) -> None:
    for number, message in (
        (1366, f"Incorrect integer value: '{value}' for column 'a' at row 1"),
        (1062, f"Duplicate entry '{value}' for key 'probes.uq_probes_name'"),
    ):
        ours = error_codes.classify(Error(number, message, sqlstate="23000"))
        assert ours is not None
        assert ours.constraint == ("uq_probes_name" if number == 1062 else None)


STOCK = """CREATE TEMPORARY TABLE stock
    (number INT UNSIGNED NOT NULL, word ENUM('sad'), latin VARCHAR(9) CHARSET latin1,
    one VARCHAR(9) COLLATE utf8mb4_general_ci DEFAULT '', other VARCHAR(9) COLLATE utf8mb4_unicode_ci DEFAULT '')"""
REFUSED: dict[str, tuple[str, type[DatabaseError]]] = {
    "a word that an ENUM has not": ("INSERT INTO stock (number, word) VALUES (1, 'glad')", InvalidValue),
    "a number below zero": ("UPDATE stock SET number = number - 2", InvalidValue),
    "a number below zero, as it is": ("UPDATE stock SET number = -1", InvalidValue),
    "collations that do not mix": ("SELECT 1 FROM stock WHERE one = other", InvalidValue),
    "characters that the column has not": ("UPDATE stock SET latin = '\U0001f642'", InvalidValue),
    "a pattern that is none": ("SELECT 'a' REGEXP '['", InvalidValue),
    "what a trigger raises": ("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'sold out'", CheckViolation),
    "a division by zero": ("UPDATE stock SET number = 1 / 0", DatabaseError),
    "a subquery of two rows": ("SELECT (SELECT 1 UNION SELECT 2)", DatabaseError),
}


@pytest.mark.usefixtures("no_pooler")  # behind which temporary tables are refused
@pytest.mark.parametrize(("refused", "kind"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_the_server_refuses_is_an_answer_and_leaves_the_connection(
    probe_database: MakeDatabase, refused: str, kind: type[DatabaseError]
) -> None:
    async with probe_database(pool_size=1, max_overflow=0).transaction() as session:
        id = await value(session, text(facts.SESSION_ID))
        await run(session, text(STOCK))
        await run(session, text("INSERT INTO stock (number, word) VALUES (1, 'sad')"))
        with pytest.raises(DatabaseError) as caught:
            async with savepoint(session):
                await run(session, text(refused))
        assert type(caught.value) is kind
        assert str(caught.value) == kind.title
        assert await value(session, text(facts.SESSION_ID)) == id


async def test_a_row_that_a_view_does_not_show_breaks_its_check_option(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    await driver.scalar(server, "CREATE VIEW small AS SELECT * FROM probes WHERE value < 5 WITH CHECK OPTION")
    try:
        async with probe_database().transaction() as session:
            with pytest.raises(CheckViolation):
                await run(session, text("INSERT INTO small (id, name, value) VALUES (1, 'a', 5)"))
    finally:
        await driver.scalar(server, "DROP VIEW small")


@pytest.mark.usefixtures("no_pooler")  # behind which nobody has asked the server for its limit
@pytest.mark.parametrize("large", ["x", "\U0001f642"], ids=["in bytes", "in characters"])
async def test_a_value_beyond_max_allowed_packet_is_413_and_leaves_the_connection(
    probe_database: MakeDatabase, large: str
) -> None:
    patient = {"statement_timeout": 60, "transaction_timeout": 60}  # MySQL takes 64 MiB, some seconds of work
    database = probe_database(pool_size=1, max_overflow=0, **patient)
    async with database.transaction() as session:
        id = await value(session, text(facts.SESSION_ID))
        limit = await value(session, text("SELECT @@max_allowed_packet"))
        number = limit // len(large.encode())
        assert await value(session, text("SELECT LENGTH(:it)").bindparams(it=large * (number - 100))) <= limit
        with pytest.raises(ValueTooLarge) as caught:
            async with savepoint(session):
                await value(session, text("SELECT LENGTH(:it)").bindparams(it=large * number))
        assert caught.value.status == 413
        assert await value(session, text(facts.SESSION_ID)) == id


@pytest.mark.usefixtures("no_pooler")  # behind which temporary tables are refused
async def test_many_rows_with_a_value_of_nearly_max_allowed_packet_are_stored_and_beyond_it_413(
    probe_database: MakeDatabase,
) -> None:
    patient = {"statement_timeout": 60, "transaction_timeout": 60}
    table = sa.table("large", sa.column("id", sa.Integer), sa.column("content", sa.LargeBinary))
    lengths = select(table.c.id, sa.func.length(table.c.content)).order_by(table.c.id)
    async with probe_database(pool_size=1, max_overflow=0, **patient).transaction() as session:
        limit = await value(session, text("SELECT @@max_allowed_packet"))
        await run(session, text("CREATE TEMPORARY TABLE large (id INT, content LONGBLOB)"))
        for content in (b"x" * (limit * 2 // 5), b"x" * (limit * 3 // 5)):  # twice as long in a statement
            many = [{"id": 1, "content": content}, {"id": 2, "content": b""}]
            with pytest.raises(ValueTooLarge) if len(content) > limit // 2 else nullcontext():
                async with savepoint(session):
                    await ways.write_many(session, insert(table), many)
        assert await rows(session, lengths) == [(1, limit * 2 // 5), (2, 0)]


DATES = """CREATE TEMPORARY TABLE old
    (id INT, day DATE, at DATETIME(6), stamp TIMESTAMP NULL, plain VARCHAR(20) DEFAULT '0000-00-00')"""


@pytest.mark.usefixtures("no_pooler")  # behind which temporary tables are refused
@pytest.mark.parametrize("column", ["day", "at", "stamp"])
async def test_a_zero_date_is_read_as_an_error_that_names_the_column(probe_database: MakeDatabase, column: str) -> None:
    async with probe_database(pool_size=1, max_overflow=0).transaction() as session:
        id = await value(session, text(facts.SESSION_ID))
        await run(session, text(DATES))
        await run(session, text("SET SESSION sql_mode = ''"))
        await run(session, text("INSERT INTO old (id) VALUES (1), (2)"))
        assert len(await rows(session, text("SELECT * FROM old"))) == 2
        await run(session, text(f"UPDATE old SET {column} = '0000-00-00' WHERE id = 2"))
        for query in (text("SELECT * FROM old"), select(sa.column(column, UtcDateTime)).select_from(sa.table("old"))):
            with pytest.raises(UnreadableValue, match=f"column {column} "):
                await session.fetch_all(query)
        for further in ("SELECT 1", None):  # another statement brings what is left of a stream to memory
            streamed = await session._unit.run("SELECT * FROM old", (), driver.stream)
            assert streamed.more is not None
            assert len(await streamed.more(1)) == 1
            if further:
                assert await value(session, text(further)) == 1
            with pytest.raises(UnreadableValue, match=f"column {column} "):
                await streamed.more(10)
        assert await rows(session, text(f"SELECT id FROM old WHERE {column} IS NULL")) == [(1,)]
        assert await value(session, text(facts.SESSION_ID)) == id


@pytest.mark.usefixtures("no_pooler")
@pytest.mark.parametrize("change", ["ACCOUNT LOCK", "PASSWORD EXPIRE"])
async def test_an_account_that_is_locked_or_whose_password_has_expired_is_refused_and_the_service_says_so(
    probe_database: MakeDatabase, settings: Settings, server: driver.RawConnection, change: str
) -> None:
    user, password = f"u{random.randrange(10**8)}", "of no use"
    await facts.create_user(server, user, password)
    try:
        for host in facts._HOSTS:
            await driver.scalar(server, f"ALTER USER {user}@'{host}' {change}")
        database = probe_database(url=as_user(settings.database.url, user, password))
        with pytest.raises(AccessDenied):
            async with database.read() as session:
                await value(session, select(1))
    finally:
        await facts.drop_user(server, user)


@pytest.mark.usefixtures("no_pooler")
async def test_what_was_given_up_is_ended_on_the_server_that_it_ran_on_and_on_no_other(
    server: driver.RawConnection, probe_database: MakeDatabase
) -> None:
    sent: list[str] = []

    def connection(identity: str, uptime: int) -> SimpleNamespace:
        async def query(text: str) -> None:
            sent.append(text)

        result = SimpleNamespace(rows=[("Uptime", str(uptime))])
        return SimpleNamespace(server=identity, query=query, _result=result)

    async with probe_database().read() as session:
        id = await value(session, text("SELECT connection_id()"))
        for other in (connection("another server", 10**6), connection("this server", 0)):  # or it was started anew
            await connecting._end_session("this server", monotonic() - 60, id, other)
        assert not [text for text in sent if "KILL" in text]
        assert await value(session, text("SELECT connection_id()")) == id
        await connecting._end_session("this server", monotonic() - 60, id, connection("this server", 10**6))
        assert sent[-1] == f"KILL {id}"


@pytest.mark.usefixtures("no_pooler")
async def test_servers_are_told_apart_by_what_each_says_of_itself(
    server: driver.RawConnection, probe_database: MakeDatabase
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.read() as session:
        await value(session, select(1))
        connection = session._unit._seat.connection
        assert connection is not None
        raw = connection.raw
        assert raw.server == await driver.scalar(server, connecting.SERVER)
        assert len(raw.server.split()) >= 3  # a name, a port, and what no other server on the machine has
        id = int(raw.thread_id())
        await connecting._end_session(f"{raw.server} of old", raw.opened, id, server)
        assert await value(session, text("SELECT connection_id()")) == id
        await connecting._end_session(raw.server, raw.opened, id, await own(server, raw.server))
        async with asyncio.timeout(10):
            with pytest.raises(ServerGone):
                while await value(session, text("SELECT connection_id()")) == id:
                    pass


async def own(server: driver.RawConnection, identity: str) -> driver.RawConnection:
    """The test's connection as one that the pool has opened."""
    server.server = identity
    return server


ENDING = ["TRUNCATE TABLE numbered", "ALTER TABLE numbered COMMENT = 'ending'", "DROP TABLE IF EXISTS no_table"]


@pytest.mark.parametrize("caught", [False, True])
@pytest.mark.parametrize("statement", ENDING)
async def test_a_statement_that_commits_by_itself_is_no_server_without_writes_and_says_what_may_be_stored(
    probe_database: MakeDatabase, server: driver.RawConnection, statement: str, caught: bool
) -> None:
    """Inside of a procedure, where nobody sees it before."""
    await driver.scalar(server, f"CREATE PROCEDURE ending() {statement}")
    try:
        with pytest.raises(TransactionAborted, match="what came before may be stored") as error:
            async with probe_database().transaction() as session:
                await run(session, insert(probes).values(probe(1)))
                with suppress(DatabaseError) if caught else nullcontext():
                    await run(session, text("CALL ending()"))
    finally:
        await driver.scalar(server, "DROP PROCEDURE ending")
    assert not isinstance(error.value, Unavailable), "to which a client would send the row again"
