"""Texts of PostgreSQL's SQL by what they do: for test_statements.py and test_session_state.py. `probes` is
the table of tests/probes.py.
"""

from sqlalchemy import func, select, true
from sqlalchemy.sql import ClauseElement

_LOCKS = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE locktype = 'advisory' AND objid = 4711 AND datname = current_database()"""

READING = [
    "SELECT 1",
    "  select id from probes",
    "SELECT 1;",
    "SELECT 1 ; -- the end; of it",
    "SELECT 1 /* ; */ ; /* ; */",
    "-- DELETE FROM probes;\nSELECT 1",
    "/* DELETE FROM probes; */ SELECT 1",
    "/* one /* two; /* three */ */ DELETE */ SELECT 1",
    "/* it's */ SELECT 1",
    "(SELECT 1)",
    "((SELECT 1) UNION (SELECT 2)) ORDER BY 1",
    "VALUES (1), (2)",
    "TABLE probes",
    "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
    "WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a WHERE x < 3) SELECT x FROM a",
    "SHOW search_path",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN (ANALYZE, COSTS OFF) SELECT 1",
    "EXPLAIN DELETE FROM probes",
    "SELECT 'a; DELETE FROM probes'",
    "SELECT 'it''s; DELETE FROM probes'",
    r"SELECT '\', '; DELETE FROM probes'",
    r"SELECT E'it\'s; DELETE FROM probes', e'\\'",
    r"SELECT name'\', '; DELETE FROM probes'",
    "SELECT U&'; DELETE' AS a, B'1', X'1F'",
    "SELECT $$; DELETE FROM probes$$",
    "SELECT $a$ $$; $b$ DELETE FROM probes $a$",
    'SELECT 1 AS "a; ""INTO"" b"',
    "SELECT 1 AS a$b$c",
    "SELECT replace('a', 'b', 'c')",
    "WITH a AS (SELECT replace('a', 'b', 'c') AS x) SELECT x FROM a",
    "SELECT temp.id AS temp FROM probes AS temp",
    "SELECT count(update), count(a.delete) FROM (SELECT 1 AS update, 2 AS delete) AS a",
    'WITH a AS (SELECT 1 AS update, 2 AS "into") SELECT a.update, a.into FROM a',
    "SELECT a.into_date, a.temporary FROM (SELECT 1 AS into_date, 2 AS temporary) AS a",
    "WITH tokens AS (SELECT 1 AS refresh) SELECT max(refresh) FROM tokens",
    "SELECT set_config FROM (SELECT 1 AS set_config, 2 AS setseed) AS a",
    "SELECT current_setting('search_path')",
]

WRITING = [
    "INSERT INTO probes (id, name, value) VALUES (9, 'nine', 0)",
    "  update probes set value = 1",
    "/* SELECT */ DELETE FROM probes",
    "-- SELECT\nDELETE FROM probes",
    "/* /* */ SELECT */ DELETE FROM probes",
    "/* ' */ DELETE FROM probes -- '",
    "WITH a AS (DELETE FROM probes RETURNING id) SELECT id FROM a",
    "WITH a AS (UPDATE probes SET value = 1 RETURNING id) SELECT id FROM a",
    "WITH a AS (INSERT INTO probes (id, name, value) VALUES (9, 'nine', 0) RETURNING id) SELECT id FROM a",
    "WITH a AS (SELECT 1 AS x) UPDATE probes SET value = 1",
    "WITH a AS (SELECT 1 AS x) DELETE FROM probes",
    "WITH a AS (SELECT 1 AS x) INSERT INTO probes (id, name, value) SELECT 9, 'nine', x FROM a",
    "EXPLAIN ANALYZE DELETE FROM probes",
    "EXPLAIN (VERBOSE, ANALYZE) UPDATE probes SET value = 1",
    "EXPLAIN ANALYZE WITH a AS (DELETE FROM probes RETURNING id) SELECT id FROM a",
    "SELECT 1 AS x INTO made",
    "SELECT id INTO TABLE made FROM probes",
    "CREATE TABLE made (x int)",
    "CREATE TABLE made AS SELECT 1 AS x",
    "TRUNCATE probes",
    "DROP TABLE probes",
    "GRANT SELECT ON probes TO PUBLIC",
    "COMMENT ON TABLE probes IS 'a comment'",
]

# What the server does not refuse in a read-only transaction, or not before version 15.
WRITING_BY_GUARD_ALONE = [
    "EXPLAIN ANALYZE CREATE TABLE made AS SELECT 1 AS x",
    "EXPLAIN (ANALYZE) CREATE TABLE made AS SELECT 1 AS x",
    "EXPLAIN ANALYZE REFRESH MATERIALIZED VIEW made",
    "MERGE INTO probes USING (SELECT 1 AS x) AS a ON false WHEN MATCHED THEN DELETE",
]

# What writes as well, and cannot be told from its text.
WRITING_UNSEEN = [
    "SELECT id FROM probes FOR UPDATE",
    "WITH a AS (SELECT id FROM probes FOR NO KEY UPDATE) SELECT id FROM a",
    "SELECT nextval(pg_get_serial_sequence('numbered', 'id'))",
    "SELECT writing_function()",
]
WRITING_FUNCTION = """CREATE OR REPLACE FUNCTION writing_function() RETURNS int LANGUAGE sql
    AS 'DELETE FROM probes; SELECT 1'"""
DROP_WRITING_FUNCTION = "DROP FUNCTION writing_function()"

SEVERAL = [
    "SELECT 1; SELECT 2",
    "SELECT 1; DELETE FROM probes",
    "; SELECT 1; DELETE FROM probes",
    "/* /* */ */ SELECT 1; DELETE FROM probes",
    r"SELECT '\'; DELETE FROM probes; --'",
    r"SELECT E'\''; DELETE FROM probes; --'",
    r"SELECT name'\'; DELETE FROM probes; --'",
    "SELECT 1 AS a$b$; DELETE FROM probes; SELECT 2 AS a$b$",
    "SELECT $1$; DELETE FROM probes; SELECT $1$",
    "SELECT $$a$$; DELETE FROM probes",
    "SELECT 1 AS \"a'\"; DELETE FROM probes; --'",
    "SET LOCAL statement_timeout = 1; SET ROLE postgres",
]

UNIT = [
    "BEGIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "START TRANSACTION",
    "COMMIT",
    "commit;",
    "/* SELECT */ COMMIT",
    "-- SELECT\nCOMMIT",
    "COMMIT AND CHAIN",
    "END",
    "ABORT",
    "ROLLBACK",
    "ROLLBACK AND CHAIN",
    "COMMIT PREPARED 'a'",
    "ROLLBACK PREPARED 'a'",
    "PREPARE TRANSACTION 'a'",
]

RETURNING_TO_SAVEPOINT = [
    "ROLLBACK TO a",
    "ROLLBACK TO SAVEPOINT a",
    "/* SELECT */ rollback work to savepoint a",
    "ROLLBACK TRANSACTION TO a",
]

# What waits for rows that asyncpg does not send so.
REFUSED = [
    "COPY probes FROM STDIN",
    "copy probes (id, name) from /* a */ stdin with (format csv)",
    "COPY probes TO STDOUT",
    "COPY (SELECT 1) TO STDOUT (FORMAT binary)",
    "COPY probes FROM STDIN WHERE id > 1",
]

NOT_REFUSED = [
    "COPY probes TO '/dev/null'",
    "SELECT 'COPY probes FROM STDIN'",
    "CREATE TABLE made AS SELECT 1 AS x",
    "ANALYZE probes",
]

STAYING = [
    "; SET search_path = a",
    "SET search_path = a",
    'SET "search_path" = a',
    "/* LOCAL */ set session search_path = a",
    "SET/* a */ROLE a",
    "SET SESSION AUTHORIZATION a",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET TIME ZONE 'UTC'",
    "SET local.tenant = 1",
    'SET "transaction".tenant = 1',
    "SET constraints . tenant = 1",
    "SET LOCAL search_path = pg_temp",
    "RESET ALL",
    "DISCARD ALL",
    "LISTEN a",
    "PREPARE a AS SELECT 1",
    "DECLARE a CURSOR WITH HOLD FOR SELECT 1",
    "CREATE TEMP TABLE a (x int)",
    "CREATE TEMPORARY TABLE a (x int) ON COMMIT DELETE ROWS",
    "CREATE LOCAL TEMP TABLE a (x int)",
    "CREATE /* a */ TEMP TABLE a AS SELECT 'ON COMMIT DROP'",
    "CREATE OR REPLACE TEMP VIEW a AS SELECT 1",
    "CREATE TEMP SEQUENCE a",
    "CREATE TABLE pg_temp.a (x int)",
    'CREATE TABLE "pg_temp"."a" (x int)',
    "EXPLAIN ANALYZE CREATE TEMP TABLE a AS SELECT 1 AS x",
    "EXPLAIN (ANALYZE, COSTS off) CREATE TEMPORARY TABLE a AS SELECT 1 AS x",
    "SELECT 1 AS x INTO TEMP a",
    "SELECT 1 AS x INTO TEMPORARY TABLE a",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_catalog.pg_try_advisory_lock_shared(1)",
    'SELECT "pg_advisory_lock"(1)',
    "SELECT setseed(0.5)",
    "SELECT set_limit(0.5)",
    "SELECT dblink_connect_u('a', 'b')",
    "UPDATE pg_settings SET setting = '1' WHERE name = 'work_mem'",
    'WITH a AS (SELECT 1) UPDATE ONLY "pg_catalog"."pg_settings" SET setting = 1',
    """SELECT "set_config"('a.b', 'c', false)""",
    """SELECT pg_catalog."set_config"('a.b', 'c', 't')""",
    "SELECT set_config('a.b', 'c', false)",
    "SELECT set_config('a.b', 'c', false), set_config('a.c', 'd', true)",
    "CALL a()",
    "DO 'BEGIN END'",
]

# What goes with the transaction, or looks like what stays.
NOT_STAYING = [
    "SET LOCAL search_path = a",
    "SET LOCAL ROLE a",
    "SET TRANSACTION READ ONLY",
    "SET CONSTRAINTS ALL DEFERRED",
    "SELECT set_config('a.b', 'c', true)",
    "SELECT set_config('a.b', lower('C'), TRUE )",
    """SELECT "set_config"('a.b', 'c', true)""",
    "SELECT pg_advisory_xact_lock(1)",
    "CREATE TEMP TABLE a (x int) ON COMMIT DROP",
    "CREATE TEMPORARY TABLE a ON COMMIT DROP AS SELECT 1 AS x",
    "DECLARE a CURSOR FOR SELECT 1",
    "CREATE TABLE temp (x int)",
    "INSERT INTO temp VALUES (1)",
    "WITH a AS (SELECT 1) INSERT INTO temp SELECT 1",
    "UPDATE settings SET reset = 1",
    "UPDATE my_pg_settings SET reset = 1",
    "SELECT 'SET ROLE a', 'pg_advisory_lock(1)' -- setseed(1)",
]

# For test_session_state.py: what changes the session, and how to see that.
STATE: dict[str, tuple[list[str | ClauseElement], str]] = {
    "SET": (["SET statement_timeout = 12345"], "SHOW statement_timeout"),
    "SET of a name that begins like LOCAL": (["SET local.made = '1'"], "SELECT current_setting('local.made', true)"),
    "search_path": (["SET SESSION search_path = pg_temp, public"], "SHOW search_path"),
    "set_config by text": (["SELECT set_config('app.made', '1', false)"], "SELECT current_setting('app.made', true)"),
    "set_config by func": (
        [select(func.set_config("search_path", "pg_temp", False))],
        "SELECT current_setting('search_path')",
    ),
    "set_config in a block": (
        ["DO $$BEGIN PERFORM set_config('app.made', '1', false); END$$"],
        "SELECT current_setting('app.made', true)",
    ),
    "SET ROLE": (["SET ROLE pg_monitor"], "SELECT current_user"),
    "SET SESSION AUTHORIZATION": (["SET SESSION AUTHORIZATION pg_monitor"], "SELECT session_user"),
    "CREATE TEMP TABLE": (["CREATE TEMP TABLE made (x int)"], "SELECT to_regclass('made') IS NULL"),
    "CREATE TEMP VIEW": (["CREATE OR REPLACE TEMP VIEW made AS SELECT 1"], "SELECT to_regclass('made') IS NULL"),
    "SELECT INTO TEMP": (["SELECT 1 AS x INTO TEMP made"], "SELECT to_regclass('made') IS NULL"),
    "pg_temp": (["CREATE TABLE pg_temp.made (x int)"], "SELECT to_regclass('made') IS NULL"),
    "pg_advisory_lock by text": (["SELECT pg_advisory_lock(4711)"], _LOCKS),
    "pg_advisory_lock in quotes": (['SELECT "pg_advisory_lock"(4711)'], _LOCKS),
    "set_config in quotes": (
        ["""SELECT "pg_catalog"."set_config"('app.made', '1', false)"""],
        "SELECT current_setting('app.made', true)",
    ),
    "pg_temp in quotes": (['CREATE TABLE "pg_temp".made (x int)'], "SELECT to_regclass('made') IS NULL"),
    "EXPLAIN ANALYZE CREATE TEMP TABLE": (
        ["EXPLAIN ANALYZE CREATE TEMP TABLE made AS SELECT 1 AS x"],
        "SELECT to_regclass('made') IS NULL",
    ),
    "pg_advisory_lock by func": ([select(func.pg_try_advisory_lock_shared(4711))], _LOCKS),
    "pg_settings": (
        ["UPDATE pg_settings SET setting = '12345' WHERE name = 'statement_timeout'"],
        "SHOW statement_timeout",
    ),
    "SET and a name in quotes": (["""SET"app.made"='1'"""], "SELECT current_setting('app.made', true)"),
    "SET and another": (["""SET"work_mem"='1111kB'"""], "SHOW work_mem"),
    "set_config in quotes behind a word": (
        ["""SELECT"set_config"('app.made', '1', false)"""],
        "SELECT current_setting('app.made', true)",
    ),
    "pg_advisory_lock in quotes behind a word": (['SELECT"pg_advisory_lock"(4711)'], _LOCKS),
    "LISTEN and a name in quotes": (['LISTEN"made"'], "SELECT count(*) FROM pg_listening_channels()"),
    "LISTEN": (["LISTEN made"], "SELECT count(*) FROM pg_listening_channels()"),
    "PREPARE": (["PREPARE made AS SELECT 1"], "SELECT count(*) FROM pg_prepared_statements WHERE name = 'made'"),
    "WITH HOLD": (
        ["DECLARE made CURSOR WITH HOLD FOR SELECT 1"],
        "SELECT count(*) FROM pg_cursors WHERE name = 'made'",
    ),
    "SET SESSION CHARACTERISTICS": (
        ["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"],
        "SHOW default_transaction_isolation",
    ),
}

# What goes with the transaction.
LOCAL: list[str | ClauseElement] = [
    "SET LOCAL statement_timeout = 12345",
    "SET LOCAL ROLE pg_monitor",
    select(func.set_config("app.tenant", "7", True)),
    "SET CONSTRAINTS ALL DEFERRED",
    "SELECT set_config('app.made', '1', true)",
    select(func.set_config("app.made", "1", true())),
    "CREATE TEMP TABLE made (x int) ON COMMIT DROP",
    "SELECT pg_advisory_xact_lock(4711)",
]

_MADE = "SELECT current_setting('app.made', true)"


def _function(body: str, name: str = "made", language: str = "plpgsql") -> str:
    body = f"BEGIN {body}; RETURN 1; END" if language == "plpgsql" else body
    return f"CREATE FUNCTION {name}() RETURNS int LANGUAGE {language} AS $made${body}$made$"


def drops_of(functions: list[str]) -> list[str]:
    """In the order in which none is needed any more."""
    return [f"DROP FUNCTION IF EXISTS {each.split()[2]}" for each in reversed(functions)]


# For test_stored_functions.py: functions of which `made` changes the session, and how to see that.
FUNCTIONS_LEAVING: dict[str, tuple[list[str], str]] = {
    "set_config": ([_function("PERFORM set_config('app.made', '1', false)")], _MADE),
    "set_config, as it is told": (
        [_function("DECLARE local bool = false; BEGIN PERFORM set_config('app.made', '1', local); END")],
        _MADE,
    ),
    "set_config of SQL": ([_function("SELECT set_config('app.made', '1', false)::int", language="sql")], _MADE),
    "set_config of a body that is parsed": (
        ["CREATE FUNCTION made() RETURNS int BEGIN ATOMIC SELECT set_config('app.made', '1', false)::int; END"],
        _MADE,
    ),
    "SET": ([_function("SET app.made = 1")], _MADE),
    "SET in an IF": ([_function("IF true THEN SET SESSION app.made = 1; END IF")], _MADE),
    "SET behind a comment": ([_function("/* it's */ -- not\n SET app.made = 1")], _MADE),
    "SET by EXECUTE": ([_function("EXECUTE 'SET app.made = 1'")], _MADE),
    "SET ROLE by EXECUTE of a format": (
        [_function("EXECUTE format('SET ROLE %I', 'pg_monitor')")],
        "SELECT current_user",
    ),
    "a lock": ([_function("PERFORM pg_advisory_lock(4711)")], _LOCKS),
    "a temporary table": (
        [_function("CREATE TEMP TABLE made_here (x int)")],
        "SELECT to_regclass('made_here') IS NULL",
    ),
    "by another function": (
        [_function("SET app.made = 1", name='"madeInside"'), _function('PERFORM "madeInside"()')],
        _MADE,
    ),
}
FUNCTIONS_LEAVING_NOTHING: dict[str, list[str]] = {
    "for the transaction": [_function("PERFORM set_config('app.made', '1', true); SET LOCAL app.made = 2")],
    "a table for the transaction": [_function("CREATE TEMP TABLE made_here (x int) ON COMMIT DROP")],
    "rows": [_function("UPDATE probes SET value = 1; DELETE FROM probes")],
    "words": [_function("RAISE NOTICE 'SET ROLE a; RESET ALL' -- SET ROLE a\n")],
    "by another function": [_function("PERFORM 1", name="made_inside"), _function("PERFORM made_inside()")],
}

# For test_errors.py: what ends a transaction from inside of a statement (to make it, to run it, to drop it).
ENDING: dict[str, tuple[str | None, str, str | None]] = {
    "a block that commits": (None, "DO $$BEGIN COMMIT; END$$", None),
    "a block that rolls back": (None, "DO $$BEGIN ROLLBACK; END$$", None),
    "a procedure that commits": (
        "CREATE OR REPLACE PROCEDURE ending() LANGUAGE plpgsql AS $$BEGIN COMMIT; END$$",
        "CALL ending()",
        "DROP PROCEDURE ending",
    ),
}

# For tests/test_warm_pool.py: the table `changing`, and how a migration changes it.
_MOODS = "ALTER TABLE changing DROP COLUMN mood; DROP TYPE mood; CREATE TYPE mood AS ENUM ('calm', 'glad', 'sad')"
CREATE = """CREATE TYPE mood AS ENUM ('glad', 'sad');
    CREATE TABLE changing (id int PRIMARY KEY, x int NOT NULL, mood mood NOT NULL DEFAULT 'glad')"""
DROP = "DROP TABLE changing; DROP TYPE mood"
PLANS_GROW_OLD = True
MIGRATIONS = {
    "another type": "ALTER TABLE changing ALTER COLUMN x TYPE text",
    "a larger type": "ALTER TABLE changing ALTER COLUMN x TYPE double precision",
    "one column more": "ALTER TABLE changing ADD COLUMN y int NOT NULL DEFAULT 0",
    "an enum that is made anew": f"{_MOODS}; ALTER TABLE changing ADD COLUMN mood mood NOT NULL DEFAULT 'glad'",
    "the table made anew": f"{DROP}; {CREATE}; INSERT INTO changing VALUES (1, 7)",
}
