"""What goes wrong on PostgreSQL and in asyncpg alone."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import (
    Column,
    Enum,
    Integer,
    Interval,
    MetaData,
    Table,
    bindparam,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    type_coerce,
    update,
)

from app.database import (
    CheckViolation,
    Database,
    DatabaseError,
    ExclusionViolation,
    InvalidValue,
    SchemaChanged,
    ServerGone,
    Session,
    TooManyConnections,
    TransactionAborted,
    Unavailable,
    UnreadableValue,
    UtcDateTime,
    ValueTooLarge,
    connecting,
    driver,
    error_codes,
    plans,
)
from app.settings import Settings
from app.wording import wording
from tests import facts
from tests.probes import probe, probes
from tests.statements import rows, run, savepoint, value
from tests.template import ways
from tests.urls import as_user, replaced

MakeDatabase = Callable[..., Database]


def said_by(error: asyncpg.PostgresError, **fields: str) -> asyncpg.PostgresError:
    """With the fields of the server's message; what the driver raises itself has none."""
    for name, content in fields.items():
        setattr(error, name, content)
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.InternalClientError("cannot process message 'E': protocol is in an unexpected state 3."), ServerGone),
        (asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"), ServerGone),
        (asyncpg.InternalClientError("no binary format encoder for type a (OID 1)"), DatabaseError),
        (asyncpg.OutdatedSchemaCacheError("unexpected number of attributes of composite type"), SchemaChanged),
        (asyncpg.InvalidCachedStatementError("cached statement plan is invalid"), SchemaChanged),
        (asyncpg.FeatureNotSupportedError("something else"), DatabaseError),
        (asyncpg.InternalServerError("cache lookup failed for type 16411"), SchemaChanged),
        (asyncpg.InternalServerError("could not find pathkey item to sort"), DatabaseError),
        (asyncpg.InterfaceError("connection is closed"), ServerGone),
        (
            asyncpg.InterfaceError("cannot call PreparedStatement.fetch(): the underlying connection is closed"),
            ServerGone,
        ),
        (asyncpg.InterfaceError("cursor: the prepared statement is closed"), DatabaseError),
        (asyncpg.InterfaceError("cannot call PreparedStmt.fetch(): the prepared statement is closed"), DatabaseError),
        (asyncpg.InterfaceError("cannot perform operation: another operation is in progress"), DatabaseError),
        (asyncpg.InterfaceError("the server expects 1 argument for this query, 0 were passed"), DatabaseError),
        (asyncpg.UnsupportedClientFeatureError("not here"), DatabaseError),
        (asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"), ServerGone),
        (said_by(asyncpg.ProtocolViolationError("query_wait_timeout"), severity_en="FATAL"), ServerGone),
        (said_by(asyncpg.ProtocolViolationError("bind message has 1"), severity_en="ERROR"), DatabaseError),
        (said_by(asyncpg.ConnectionFailureError("of a foreign server"), severity_en="ERROR"), Unavailable),
        (said_by(asyncpg.TooManyConnectionsError("sorry"), severity_en="FATAL"), TooManyConnections),
        (said_by(asyncpg.InternalServerError("out of step"), severity_en="FATAL"), ServerGone),
        (said_by(asyncpg.InsufficientPrivilegeError("permission denied"), severity_en="ERROR"), DatabaseError),
    ],
    ids=str,
)
def test_an_error_is_what_it_says_of_the_server(error: Exception, kind: type[DatabaseError]) -> None:
    assert type(error_codes.classify(error)) is kind


POSITIVE = "CREATE TEMPORARY VIEW positive AS SELECT * FROM stock WHERE number > 0 WITH CHECK OPTION"
RAISING = "DO $$ BEGIN RAISE EXCEPTION 'sold out'; END $$"
REFUSED: dict[str, tuple[list[str], type[DatabaseError], str | None]] = {
    "an exclusion": (
        [
            "CREATE TEMPORARY TABLE booked (during int4range, EXCLUDE USING gist (during WITH &&))",
            "INSERT INTO booked VALUES ('[1,3)'), ('[2,4)')",
        ],
        ExclusionViolation,
        "booked_during_excl",
    ),
    "a check option": (
        ["CREATE TEMPORARY TABLE stock (number int)", POSITIVE, "INSERT INTO positive VALUES (0)"],
        CheckViolation,
        None,
    ),
    "a word that an enum has not": (
        ["CREATE TYPE pg_temp.mood AS ENUM ('sad')", "SELECT 'glad'::pg_temp.mood"],
        InvalidValue,
        None,
    ),
    "what a trigger raises": ([RAISING], CheckViolation, None),
    "a division by zero": (["SELECT 1 / 0"], DatabaseError, None),
    "a pattern that is none": (["SELECT 'a' ~ '['"], InvalidValue, None),
    "a subquery of two rows": (["SELECT (SELECT 1 UNION SELECT 2)"], DatabaseError, None),
    "a key that is too long": (
        [
            "CREATE TEMPORARY TABLE keys (key text UNIQUE)",
            "INSERT INTO keys SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) n",
        ],
        ValueTooLarge,
        None,
    ),
    "JSON that is nested too deep": (["SELECT repeat('[', 1000000)::json"], ValueTooLarge, None),
}


@pytest.mark.usefixtures("no_pooler")  # behind which temporary tables are refused
@pytest.mark.parametrize(("statements", "kind", "constraint"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_the_server_refuses_is_an_answer_and_leaves_the_connection(
    probe_database: MakeDatabase, statements: list[str], kind: type[DatabaseError], constraint: str | None
) -> None:
    *before, refused = statements
    async with probe_database(pool_size=1, max_overflow=0).transaction() as session:
        id = await value(session, text(facts.SESSION_ID))
        for statement in before:
            await run(session, text(statement))
        with pytest.raises(kind) as caught:
            async with savepoint(session):
                await run(session, text(refused.replace(":", "\\:")))
        assert type(caught.value) is kind
        assert caught.value.constraint == constraint
        assert str(caught.value) == kind.title
        assert await value(session, text(facts.SESSION_ID)) == id


async def test_a_policy_of_row_level_security_is_a_rule_and_a_privilege_that_is_missing_is_a_bug(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    await facts.create_user(server, "tenant", "of no use")
    await driver.scalar(server, "CREATE TABLE rented (tenant name)")
    try:
        await driver.scalar(server, "ALTER TABLE rented ENABLE ROW LEVEL SECURITY")
        await driver.scalar(server, "CREATE POLICY own ON rented USING (tenant = current_user)")
        await driver.scalar(server, "GRANT INSERT ON rented TO tenant")
        async with probe_database().transaction() as session:
            await run(session, text("SET LOCAL ROLE tenant"))
            await run(session, text("INSERT INTO rented VALUES (current_user)"))
            with pytest.raises(CheckViolation):
                async with savepoint(session):
                    await run(session, text("INSERT INTO rented VALUES ('somebody else')"))
            with pytest.raises(DatabaseError) as caught:
                async with savepoint(session):
                    await run(session, text("DELETE FROM rented"))
            assert type(caught.value) is DatabaseError
    finally:
        await driver.scalar(server, "DROP TABLE rented")
        await facts.drop_user(server, "tenant")


async def test_a_session_whose_end_was_announced_but_did_not_come_yet_is_gone(
    probe_database: MakeDatabase, server: driver.RawConnection, no_pooler: None
) -> None:
    """The server's last words arrive before the end of the connection; a statement may be sent between the two."""
    database = probe_database(pool_size=1, max_overflow=0)
    for _ in range(50):
        with pytest.raises(ServerGone):
            async with database.read() as session:
                ending = asyncio.create_task(facts.kill(server, await value(session, text(facts.SESSION_ID))))
                async with asyncio.timeout(10):
                    while True:
                        await value(session, text("SELECT 1"))
        await ending


MISTAKEN = """CREATE OR REPLACE FUNCTION mistaken() RETURNS SETOF int LANGUAGE plpgsql
    AS 'BEGIN RETURN QUERY SELECT ''x''::text; END'"""


async def test_a_type_that_a_function_mistakes_is_a_bug_and_no_migration(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    await driver.scalar(server, MISTAKEN)
    tried = 0

    async def work(session: Session) -> None:
        nonlocal tried
        tried += 1
        await value(session, text("SELECT * FROM mistaken()"))

    try:
        for _ in range(2):
            with pytest.raises(DatabaseError) as caught:
                await database.run_transaction(work)
            assert type(caught.value) is DatabaseError
            async with database.read() as session:
                with pytest.raises(DatabaseError) as caught:
                    await value(session, text("SELECT * FROM mistaken()"))
                assert type(caught.value) is DatabaseError
        assert tried == 2
    finally:
        await driver.scalar(server, "DROP FUNCTION mistaken()")


async def test_an_operator_that_a_migration_took_from_a_plan_is_found_again(
    probe_database: MakeDatabase, server: driver.RawConnection
) -> None:
    """asyncpg takes a text for a UUID, so the server is the first to see that the column is none any more."""
    database = probe_database(pool_size=1, max_overflow=0)
    key = "8f14e45f-ceea-467f-a0e2-b5d4b1b5c9a1"
    query = text("SELECT count(*) FROM keyed WHERE key = :key")
    await driver.scalar(server, "CREATE TABLE keyed AS SELECT gen_random_uuid() AS key")

    async def work(session: Session) -> int:
        return int(await session.fetch_val(query, {"key": key}))

    try:
        async with database.read() as session:
            assert await work(session) == 0
        await driver.scalar(server, f"ALTER TABLE keyed ALTER key TYPE text USING '{key}'")
        assert await database.run_transaction(work) == 1
        await driver.scalar(server, "ALTER TABLE keyed ALTER key TYPE uuid USING key::uuid")
        async with database.read() as session:
            assert await work(session) == 1
        await driver.scalar(server, f"ALTER TABLE keyed ALTER key TYPE text USING '{key}'")
        async with database.read() as session:
            assert await work(session) == 1
    finally:
        await driver.scalar(server, "DROP TABLE keyed")


UNREADABLE = {
    "a date before the year 1": ("'4713-01-01 BC'::date", "date"),
    "a date after the year 9999": ("'10000-01-01'::date", "date"),
    "an instant before the year 1": ("'0001-01-01 BC'::timestamptz", "timestamptz"),
    "an instant after the year 9999": ("'20000-01-01'::timestamptz", "timestamptz"),
    "a time without a zone": ("'20000-01-01'::timestamp", "timestamp"),
    "the end of a day": ("'24:00'::time", "time"),
    "an infinite interval": ("'infinity'::interval", "interval"),
    "a long interval": ("'10000000 years'::interval", "interval"),
    "a long interval ago": ("'-2147483648 days'::interval", "interval"),
    "an element of an array": ("ARRAY['4713-01-01 BC'::date]", "date[]"),
    "the bound of a range": ("daterange('4713-01-01 BC', NULL)", "daterange"),
    "a part of a record": ("ROW('4713-01-01 BC'::date)", "record"),
}


@pytest.mark.parametrize(("stored", "type"), UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_python_does_not_have_is_an_error_that_names_the_column_and_leaves_the_connection(
    probe_database: MakeDatabase, server: driver.RawConnection, stored: str, type: str
) -> None:
    if "infinity" in stored and server.get_server_version() < (17,):
        pytest.skip("intervals are infinite from PostgreSQL 17 on")
    statement = f"SELECT 1 AS id, 'a' AS name, {stored} AS stored"
    named = re.escape(f"The column stored ({type}) holds what Python does not have")
    async with probe_database(pool_size=1, max_overflow=0).transaction() as session:
        id = await value(session, text(facts.SESSION_ID))
        for ask in (session.fetch_all, session.fetch_one):
            with pytest.raises(UnreadableValue, match=named):
                await ask(text(statement.replace(":", "\\:")))
        with pytest.raises(UnreadableValue, match=named):
            await anext(ways.stream(session, text(statement.replace(":", "\\:"))))
        assert await value(session, text(facts.SESSION_ID)) == id


@pytest.mark.parametrize("stored", ["infinity", "-infinity"])
async def test_infinity_is_no_instant(probe_database: MakeDatabase, stored: str) -> None:
    """The driver gives the first or the last datetime for it, without a time zone."""
    query = select(literal_column(f"'{stored}'::timestamptz", UtcDateTime()).label("stored"))
    async with probe_database().transaction() as session:
        with pytest.raises(UnreadableValue, match="A time is infinity, which names no instant"):
            await session.fetch_all(query)
        with pytest.raises(UnreadableValue, match="A time is infinity, which names no instant"):
            await ways.all_rows(session, query, None)
            await anext(ways.stream(session, query))


@pytest.mark.parametrize(
    ("stored", "length"),
    [
        ("2 years 3 mons 4 days 05:06:07.000008", timedelta(2 * 365 + 3 * 30 + 4, 5 * 3600 + 6 * 60 + 7, 8)),
        ("-2 years -3 mons -4 days -05:06:07.000008", -timedelta(2 * 365 + 3 * 30 + 4, 5 * 3600 + 6 * 60 + 7, 8)),
        ("1 mon -1 days", timedelta(29)),
        ("-13 mons 1 days", timedelta(-365 - 30 + 1)),
        ("2000000 years", timedelta(2_000_000 * 365)),
    ],
    ids=str,
)
async def test_an_interval_has_years_of_365_and_months_of_30_days(
    probe_database: MakeDatabase, stored: str, length: timedelta
) -> None:
    one, several = (f"'{stored}'::interval", f"ARRAY[NULL, '{stored}'::interval]")
    async with probe_database().read() as session:
        (found,) = await rows(session, select(literal_column(one), literal_column(several)))
        assert found == (length, [None, length])
        given = select(type_coerce(literal(length), Interval()))
        assert await value(session, given) == length


async def test_many_rows_of_which_one_cannot_be_sent_are_none(probe_database: MakeDatabase) -> None:
    """Those before it have been sent by then; a savepoint undoes them alone."""
    database = probe_database()
    many = [probe(id) for id in range(1, 20_000)] + [probe(20_000, value=2**40)]
    with pytest.raises(TransactionAborted):
        async with database.transaction() as session:
            with pytest.raises(InvalidValue):
                await ways.write_many(session, insert(probes), many)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(0)))
        with pytest.raises(InvalidValue):
            async with savepoint(session):
                await ways.write_many(session, insert(probes), many)
    async with database.read() as session:
        assert await rows(session, select(probes.c.id)) == [(0,)]


WAYS_TO_TENANTS = [
    "SET LOCAL search_path TO {}",
    "SET LOCAL Search_Path TO {}",
    "/* of the tenant */\n SET LOCAL\nSCHEMA '{}'",
    "SELECT set_config('search_path', '{}', true)",
    "SELECT SET_CONFIG('Search_Path', '{}', true)",
]


@pytest.mark.parametrize("way", WAYS_TO_TENANTS)
async def test_each_tenant_has_a_schema_with_types_of_its_own(
    probe_database: MakeDatabase, server: driver.RawConnection, way: str
) -> None:
    """By turns over one connection, and as the tables that have no schema are read in between."""
    tenants = {"tenant_a": "x", "tenant_b": "y"}
    for name, state in tenants.items():
        await server.execute(f"""DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name};
            CREATE TYPE {name}.state AS ENUM ('x', 'y'); CREATE TABLE {name}.works (id int, state {name}.state);
            INSERT INTO {name}.works VALUES (1, '{state}')""")
    works = Table("works", MetaData(), Column("id", Integer), Column("state", Enum("x", "y", name="state")))
    database = probe_database(pool_size=1, max_overflow=0)
    for name in [*tenants] * 2:
        async with database.transaction() as session:
            await run(session, text(way.format(name)))
            assert await value(session, select(works.c.state)) == tenants[name]
            assert await session.affected(update(works).values(state=tenants[name])) == 1
            assert await value(session, text("SELECT state FROM works")) == tenants[name]
        async with database.transaction() as session:
            assert await value(session, select(func.count()).select_from(probes)) == 0
    for name in tenants:
        await server.execute(f"DROP SCHEMA {name} CASCADE")


async def test_a_temporary_table_of_each_unit_has_columns_of_its_own(probe_database: MakeDatabase) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    for columns, row in (("1 AS a", (1,)), ("2 AS a, 'two' AS b", (2, "two")), ("3.5 AS a", (Decimal("3.5"),))):
        async with database.transaction() as session:
            await run(session, text(f"CREATE TEMP TABLE made ON COMMIT DROP AS SELECT {columns}"))
            assert await rows(session, text("SELECT * FROM made")) == [row]


LEADING_ELSEWHERE: list[tuple[str, Any]] = [
    ("SET LOCAL ROLE a", ()),
    ("\n set local role a", ()),
    ("-- of the tenant\nSET SESSION AUTHORIZATION a", ()),
    ("SET LOCAL SESSION AUTHORIZATION a", ()),
    ("SELECT set_config($1, $2, true)", ("Role", "a")),
    ("SELECT set_config($1, $2, true)", [("a.b", "c"), ("search_path", "a")]),
    ("CREATE TEMP TABLE a (x int) ON COMMIT DROP", ()),
    ("ALTER TABLE a ADD COLUMN y int", ()),
]
STAYING_THERE: list[tuple[str, Any]] = [
    ("SELECT created, altered FROM roles WHERE role = 'SET ROLE a'", ()),
    ("UPDATE a SET role = $1", ("search_path",)),
    ("SELECT set_config($1, $2, true)", ("a.b", "c")),
    ("SELECT 'CREATE TABLE'", ()),
]


@pytest.mark.parametrize(("statement", "arguments"), [*LEADING_ELSEWHERE, *STAYING_THERE])
def test_after_which_statements_tables_are_others_is_known(statement: str, arguments: Any) -> None:
    assert plans._leads_elsewhere(statement, arguments) == ((statement, arguments) in LEADING_ELSEWHERE)


@pytest.mark.usefixtures("no_pooler")  # behind which DO is refused
@pytest.mark.parametrize("last", [True, False])
async def test_settings_of_many_values_stay_when_one_of_them_does(probe_database: MakeDatabase, last: bool) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    given = [{"name": f"made.n{n}", "value": "1", "own": n < 2 or last} for n in range(3)]
    async with database.transaction() as session:
        connection = await value(session, text(facts.SESSION_ID))
        await ways.write_many(session, text("SELECT set_config(:name, :value, :own)"), given)
    async with database.read() as session:
        assert (await value(session, text(facts.SESSION_ID)) == connection) is last
        assert not await value(session, text("SELECT current_setting('made.n2', true)"))


@pytest.mark.usefixtures("no_pooler")  # behind which DO is refused
async def test_a_full_disk_ends_the_transaction_for_us_as_it_does_for_the_server(probe_database: MakeDatabase) -> None:
    full = text("DO $$ BEGIN RAISE SQLSTATE '53100'; END $$")
    with pytest.raises(TransactionAborted) as caught:
        async with probe_database().transaction() as session:
            with pytest.raises(Unavailable):
                await run(session, full)
            with pytest.raises(TransactionAborted):
                await value(session, select(1))
    assert type(caught.value.__cause__) is Unavailable


WAYS_IN = [
    ("127.0.0.1:1,{}", "", None),  # the next one answers
    ("{},127.0.0.1:1", "", None),
    ("127.0.0.1:1,127.0.0.1:2", "", ServerGone),
    ("{}", "target_session_attrs=primary", None),
    ("{}", "target_session_attrs=standby", Unavailable),
    ("{}", "sslmode=require&sslnegotiation=direct", ServerGone),  # which has no TLS, and so not at once either
]


@pytest.mark.usefixtures("no_pooler")
@pytest.mark.parametrize(("hosts", "options", "kind"), WAYS_IN)
async def test_of_several_hosts_the_first_that_answers_and_has_the_wanted_part_is_used(
    probe_database: MakeDatabase, settings: Settings, hosts: str, options: str, kind: type[DatabaseError] | None
) -> None:
    usual = settings.database.url.get_secret_value()
    host, port = settings.database.target.hosts[0]
    if settings.database.target.socket or settings.database.target.tls != "disable":
        pytest.skip("the hosts of this URL cannot be told apart from its other parts")
    url = replaced(usual, "location", hosts.format(f"{host}:{port}")).partition("?")[0]
    database = probe_database(url=SecretStr(f"{url}?{options}"))
    with nullcontext() if kind is None else pytest.raises(kind, check=lambda error: type(error) is kind):
        async with database.read() as session:
            assert await value(session, select(1)) == 1


@pytest.mark.usefixtures("no_pooler")  # which may know no other users
async def test_a_user_who_may_not_read_the_catalogue_of_functions_is_served(
    probe_database: MakeDatabase,
    settings: Settings,
    server: driver.RawConnection,
    worker_id: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    user = f"catalogue_{worker_id}"
    await facts.create_user(server, user, "secret")
    await server.execute("REVOKE SELECT ON pg_catalog.pg_proc FROM PUBLIC")
    try:
        database = probe_database(url=as_user(settings.database.url, user, "secret"))
        async with database.read() as session:
            assert await value(session, select(1)) == 1
        await database.close()
    finally:
        await server.execute("GRANT SELECT ON pg_catalog.pg_proc TO PUBLIC")
        await facts.drop_user(server, user)
    assert "What stored functions leave on a session is not seen" in caplog.text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0"), (1e-9, "1"), (0.0004, "1"), (0.0016, "2"), (4.1, "4100")])
def test_only_no_limit_is_told_as_none(seconds: float, text: str) -> None:
    assert connecting._milliseconds(seconds) == text


SET_PATH = ["SELECT set_config('search_path', :path, true)", func.set_config("search_path", bindparam("path"), True)]


@pytest.mark.usefixtures("plans_stay")
@pytest.mark.parametrize("sets", SET_PATH, ids=["text", "function"])
async def test_a_search_path_may_be_set_in_any_words_and_is_forgotten_with_its_transaction(
    probe_database: MakeDatabase, server: driver.RawConnection, monkeypatch: pytest.MonkeyPatch, sets: Any
) -> None:
    database, planned = (probe_database(pool_size=1, max_overflow=0), Counter[str]())
    plan = connecting.Connection.plan

    async def counted(connection: connecting.Connection, statement: str, stays: bool = True) -> Any:
        planned[statement] += 1
        return await plan(connection, statement, stays)

    monkeypatch.setattr(connecting.Connection, "plan", counted)
    for number, name in enumerate(("left", "right")):
        await driver.scalar(server, f'CREATE SCHEMA "{name}"')
        await driver.scalar(server, f"""CREATE TYPE "{name}".mood AS ENUM ('a')""")
        await driver.scalar(
            server, f'CREATE TABLE "{name}".moods AS SELECT {number} AS id, \'a\'::"{name}".mood AS mood'
        )
    try:
        for _ in range(2):
            for number, name in enumerate(("left", "right")):
                async with database.transaction() as session:
                    await session.fetch_val(text(sets) if isinstance(sets, str) else select(sets), {"path": name})
                    assert await value(session, text("SELECT id, mood FROM moods")) == number
        planned.clear()
        for _ in range(3):
            async with database.read() as session:
                assert await value(session, text("SELECT 42")) == 42
        assert planned["SELECT 42"] == 1
    finally:
        for name in ("left", "right"):
            await driver.scalar(server, f'DROP SCHEMA "{name}" CASCADE')


@pytest.mark.usefixtures("no_pooler")  # which says itself that the server's connection is lost
async def test_what_the_driver_says_of_a_lost_connection_quotes_no_value_of_the_servers_last_error(
    probe_database: MakeDatabase,
) -> None:
    database = probe_database(pool_size=1, max_overflow=0)
    with pytest.raises(ServerGone) as caught:
        async with database.transaction() as session:
            await run(session, text("SET LOCAL exit_on_error = on"))
            await value(session, text("SELECT CAST(:it AS integer)").bindparams(it="a secret"))
    assert "a secret" in str(caught.value.__cause__)  # or there would be nothing to hide
    assert caught.value.__cause__ is not None
    said = wording(caught.value.__cause__)
    assert said.startswith("connection was closed")
    assert "a secret" not in said
