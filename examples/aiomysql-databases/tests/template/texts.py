"""Texts of MySQL's and MariaDB's SQL by what they do: for test_statements.py and test_session_state.py.
`probes` is the table of tests/probes.py. What one server does not know stands in a comment that the other one reads.
"""

from sqlalchemy import func, select
from sqlalchemy.sql import ClauseElement

_ISOLATION = "SELECT /*!80000 @@transaction_isolation */ /*M! @@tx_isolation */"
_LOCK = "CONCAT('made', DATABASE())"  # locks are the server's, which other processes of the tests use, too
_IS_FREE = f"SELECT IS_FREE_LOCK({_LOCK})"

READING = [
    "SELECT 1",
    "  select id from probes",
    "SELECT 1;",
    "SELECT 1 ; -- the end; of it",
    "SELECT 1 ; # the end; of it",
    "SELECT 1 /* ; */ ; /* ; */",
    "-- DELETE FROM probes;\nSELECT 1",
    "--\nSELECT 1",
    "# it's; DELETE FROM probes;\nSELECT 1",
    "/* DELETE FROM probes; */ SELECT 1",
    "/* it's */ SELECT 1",
    "/*!40000 SELECT */ 1",
    "/*!SELECT*/ 1",
    "SELECT 1 --1",
    "(SELECT 1)",
    "((SELECT 1) UNION (SELECT 2)) ORDER BY 1",
    "/*!80019 TABLE probes */ /*M! VALUES (1) */",
    "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
    "WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a WHERE x < 3) SELECT x FROM a",
    "SHOW TABLES",
    "EXPLAIN SELECT 1",
    "EXPLAIN /*!80018 ANALYZE */ SELECT 1",
    "DESCRIBE probes",
    "DESC probes",
    "SELECT 'a; DELETE FROM probes'",
    "SELECT 'it''s; DELETE FROM probes'",
    r"SELECT 'it\'s; DELETE FROM probes', '\\'",
    r'SELECT "it\"s; ""DELETE"" FROM probes", 1',
    "SELECT _utf8mb4'; DELETE', b'1', x'1F'",
    "SELECT 1 AS `a; ``INTO`` b`",
    "SELECT replace('a', 'b', 'c'), insert('abc', 1, 1, 'd')",
    "WITH a AS (SELECT replace('a', 'b', 'c') AS x, insert ('abc', 1, 1, 'd') AS y) SELECT x FROM a",
    "SELECT temp.id AS temp FROM probes AS temp",
    "WITH a AS (SELECT 1 AS `update`, 2 AS `into`) SELECT a.`update`, a.`into` FROM a",
    "SELECT a.into_date, a.temporary FROM (SELECT 1 AS into_date, 2 AS temporary) AS a",
    "SELECT @@sql_mode, @a",
    "SELECT last_insert_id()",
    "SELECT id FROM probes LOCK IN SHARE MODE",
]

WRITING = [
    "INSERT INTO probes (id, name, value) VALUES (9, 'nine', 0)",
    "INSERT probes (id, name, value) VALUES (9, 'nine', 0)",
    "  update probes set value = 1",
    "REPLACE probes (id, name, value) VALUES (9, 'nine', 0)",
    "/* SELECT */ DELETE FROM probes",
    "-- SELECT\nDELETE FROM probes",
    "# SELECT\nDELETE FROM probes",
    "/*! DELETE */ FROM probes",
    "/*!40000 DELETE FROM probes */",
    "/* ' */ DELETE FROM probes -- '",
    "--\nDELETE FROM probes",
    "/*!80000 WITH a AS (SELECT 1 AS x) */ UPDATE probes SET value = 1",
    "/*!80000 WITH a AS (SELECT 1 AS x) */ DELETE FROM probes",
    "/*!80000 WITH a AS (SELECT 1 AS x) */ UPDATE (probes) SET value = 1",
    "INSERT INTO probes (id, name, value) WITH a AS (SELECT 1 AS x) SELECT 9, 'nine', x FROM a",
    "CREATE TABLE made (x int)",
    "CREATE TABLE made AS SELECT 1 AS x",
    "TRUNCATE probes",
    "DROP TABLE probes",
]

# What the servers do not refuse in a read-only transaction, or not for that reason.
WRITING_BY_GUARD_ALONE = ["/*M! ANALYZE */ DELETE FROM probes", "SELECT 1 INTO OUTFILE 'made'"]

# What writes as well, and cannot be told from its text.
WRITING_UNSEEN = ["SELECT writing_function()"]
WRITING_FUNCTION = """CREATE FUNCTION writing_function() RETURNS INT DETERMINISTIC MODIFIES SQL DATA
    BEGIN DELETE FROM probes; RETURN 1; END"""
DROP_WRITING_FUNCTION = "DROP FUNCTION writing_function"

SEVERAL = [
    "SELECT 1; SELECT 2",
    "SELECT 1; DELETE FROM probes",
    "; SELECT 1; DELETE FROM probes",
    "/* /* */ SELECT 1; DELETE FROM probes",
    "SELECT 1 /*! ; DELETE FROM probes */",
    "SELECT 1 /*M!100000 ; DELETE FROM probes */",
    "SELECT 1 --1; DELETE FROM probes",
    r"SELECT '\\'; DELETE FROM probes; -- '",
    r'SELECT "\\"; DELETE FROM probes; -- "',
    "SELECT 1 AS `a'`; DELETE FROM probes; -- '",
    "SELECT 1 # it's\n; DELETE FROM probes; # '",
    "BEGIN NOT ATOMIC DELETE FROM probes; END",
]

UNIT = [
    "BEGIN",
    "BEGIN WORK",
    "START TRANSACTION",
    "COMMIT",
    "commit;",
    "/* SELECT */ COMMIT",
    "/*! COMMIT */",
    "# SELECT\nCOMMIT",
    "COMMIT AND CHAIN",
    "ROLLBACK",
    "ROLLBACK WORK AND CHAIN",
    "XA START 'a'",
]

RETURNING_TO_SAVEPOINT = ["ROLLBACK TO a", "ROLLBACK TO SAVEPOINT a", "/* SELECT */ rollback work to savepoint a"]

# What commits what came before: refused in a transaction.
REFUSED = [
    "ALTER TABLE numbered COMMENT = 'a'",
    "ALTER USER CURRENT_USER() IDENTIFIED BY ''",
    "ANALYZE TABLE probes",
    "analyze local table probes",
    "ANALYZE NO_WRITE_TO_BINLOG TABLE probes",
    "CACHE INDEX probes IN a",
    "CHECK TABLE probes",
    "CREATE DATABASE made",
    "CREATE INDEX made ON probes (value)",
    "CREATE /* TEMPORARY */ TABLE made (x int)",
    "CREATE OR REPLACE TABLE made (x int)",
    "CREATE OR REPLACE VIEW made AS SELECT 1 AS `temporary`",
    "CREATE PROCEDURE made() SELECT 1",
    "CREATE ROLE made",
    "CREATE TRIGGER made BEFORE INSERT ON probes FOR EACH ROW SET @a = 1",
    "CREATE USER made",
    "DROP TABLE IF EXISTS probes",
    "DROP VIEW IF EXISTS made",
    "FLUSH TABLES",
    "FLUSH LOCAL STATUS",
    "GRANT SELECT ON probes TO CURRENT_USER()",
    "INSTALL SONAME 'made'",
    "LOAD INDEX INTO CACHE probes",
    "LOCK TABLES probes READ",
    "/* a */ OPTIMIZE TABLE probes",
    "/*! OPTIMIZE TABLE */ probes",
    "RENAME TABLE probes TO made",
    "REPAIR TABLE probes",
    "RESET QUERY CACHE",
    "REVOKE SELECT ON probes FROM CURRENT_USER()",
    "SET autocommit = 1",
    "SET @@session.autocommit = 1",
    "SET @@`autocommit` = 1",
    "SET SESSION autocommit = ON",
    "SET @a = 1, autocommit = 1",
    "SET PASSWORD = ''",
    "SET STATEMENT max_statement_time = 1 FOR ANALYZE TABLE probes",
    "SET STATEMENT max_statement_time = 1 FOR COMMIT",
    "SET STATEMENT max_statement_time = 1 FOR START TRANSACTION",
    "SET STATEMENT max_statement_time = 1 FOR ROLLBACK",
    "SET DEFAULT ROLE NONE TO CURRENT_USER()",
    "EXECUTE IMMEDIATE 'COMMIT'",
    "CREATE TEMPORARY SEQUENCE made",
    "CLONE LOCAL DATA DIRECTORY '/made'",
    "RESTART",
    "STOP SLAVE",
    "TRUNCATE probes",
    "UNLOCK TABLES",
]

NOT_REFUSED = [
    "CREATE TEMPORARY TABLE made (x int)",
    "DROP TEMPORARY TABLE made",
    "SET STATEMENT max_statement_time = 1 FOR ROLLBACK TO a",
    "/*M! ANALYZE */ SELECT 1",
    "/*M! ANALYZE FORMAT=JSON */ SELECT 1",
    "CHECKSUM TABLE probes",
    "SET @autocommit = 1",
    "SELECT @@autocommit AS `alter`",
]

STAYING = [
    "; SET @a = 1",
    "SET SESSION sql_mode = ''",
    "SET sql_mode = ''",
    "/* a */ set @@session.sql_mode = ''",
    "SET/* a */NAMES utf8mb4",
    "SET LOCAL sql_mode = ''",  # which is SESSION here
    "SET @a = 1",
    "SET ROLE NONE",
    "SET SESSION TRANSACTION READ ONLY",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SELECT @a := 1",
    "SELECT @`a` := 1",
    "SELECT @a.b:=1",
    "SELECT 1 INTO @a",
    "SELECT 1 INTO@a",
    "GET DIAGNOSTICS @a = NUMBER",
    "USE mysql",
    "PREPARE a FROM 'SELECT 1'",
    "CREATE TEMPORARY TABLE a (x int)",
    "CREATE OR REPLACE TEMPORARY TABLE a (x int)",
    "CREATE /*! TEMPORARY */ TABLE a (x int)",
    "SELECT GET_LOCK('a', 0)",
    "SELECT get_lock ('a', 0)",
    "SELECT LAST_INSERT_ID(5)",
    "SELECT `get_lock`('a', 0)",
    "HANDLER probes OPEN",
    "CALL a()",
    "DO GET_LOCK('a', 0)",
    "SET STATEMENT max_statement_time = 1 FOR CALL a()",
    "SET STATEMENT max_statement_time = 1 FOR SET @a = 1",
    "SET STATEMENT max_statement_time = 1 FOR DO GET_LOCK('a', 0)",
    "SET STATEMENT max_statement_time = 1, sort_buffer_size = 1024 FOR PREPARE a FROM 'SELECT 1'",
    "/*M! SET STATEMENT max_statement_time = 1 FOR */ USE mysql",
]

# What goes with the transaction, or looks like what stays.
NOT_STAYING = [
    "SELECT @a, @@sql_mode",
    "SELECT LAST_INSERT_ID( )",
    "SET STATEMENT max_statement_time = 1 FOR SELECT 1",
    "CREATE TABLE temporary_things (x int)",
    "INSERT INTO temporary VALUES (1)",
    "UPDATE probes SET value = 1",
    "INSERT INTO probes SET id = 9",
    "SELECT ':=', 'GET_LOCK(1)' -- USE mysql",
]

# For test_session_state.py: what changes the session, and how to see that.
STATE: dict[str, tuple[list[str | ClauseElement], str]] = {
    "SET SESSION": (["SET SESSION sql_mode = ''"], "SELECT @@sql_mode"),
    "SET LOCAL, which is SESSION": (["SET LOCAL sql_mode = ''"], "SELECT @@sql_mode"),
    "SET without a word": (["SET time_zone = '+05:00'"], "SELECT @@time_zone"),
    "SET NAMES": (["SET NAMES latin1"], "SELECT @@character_set_results"),
    "a variable by SET": (["SET @made = 1"], "SELECT @made"),
    "a variable by assignment": (["SELECT @made := 1"], "SELECT @made"),
    "a variable by INTO": (["SELECT 1 INTO @made"], "SELECT @made"),
    "a variable by INTO without a space": (["SELECT 1 INTO@made"], "SELECT @made"),
    "a variable by GET": (["GET DIAGNOSTICS @made = NUMBER"], "SELECT @made"),
    "a variable by DO": (["DO @made := 1"], "SELECT @made"),
    "USE": (["USE mysql"], "SELECT DATABASE()"),
    "GET_LOCK by text": ([f"SELECT GET_LOCK({_LOCK}, 0)"], _IS_FREE),
    "GET_LOCK in quotes": ([f"SELECT `GET_LOCK`({_LOCK}, 0)"], _IS_FREE),
    "GET_LOCK in quotes behind a word": ([f"SELECT`GET_LOCK`({_LOCK}, 0)"], _IS_FREE),
    "GET_LOCK by func": ([select(func.get_lock(func.concat("made", func.database()), 0))], _IS_FREE),
    "CREATE TEMPORARY TABLE": (["CREATE TEMPORARY TABLE made (x int)"], "SELECT COUNT(*) FROM made"),
    "PREPARE": (["PREPARE made FROM 'SELECT 1'"], "EXECUTE made"),
    "LAST_INSERT_ID": (["SELECT LAST_INSERT_ID(4711)"], "SELECT LAST_INSERT_ID()"),
    "SET SESSION TRANSACTION": (["SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"], _ISOLATION),
    "SET TRANSACTION": (["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"], _ISOLATION),
    "HANDLER": (["HANDLER probes OPEN AS made"], "HANDLER made READ FIRST"),
}

# What goes with the transaction.
LOCAL: list[str | ClauseElement] = ["SELECT @made", "/*M! SET STATEMENT max_statement_time = 1 FOR */ SELECT 1"]

_MADE = "SELECT @made"


def _function(body: str, name: str = "made") -> str:
    return f"CREATE FUNCTION {name}() RETURNS INT NOT DETERMINISTIC READS SQL DATA BEGIN {body}; RETURN 1; END"


def drops_of(functions: list[str]) -> list[str]:
    """In the order in which none is needed any more."""
    return [f"DROP FUNCTION IF EXISTS {each.split('(')[0].split()[2]}" for each in reversed(functions)]


# For test_stored_functions.py: functions of which `made` changes the session, and how to see that.
FUNCTIONS_LEAVING: dict[str, tuple[list[str], str]] = {
    "a variable by SET": ([_function("SET @made = 1")], _MADE),
    "a variable behind one of its own": ([_function("DECLARE own INT; SET own = 1; SET @made = own")], _MADE),
    "a variable by INTO": ([_function("SELECT 1 INTO @made")], _MADE),
    "a variable beside one of its own": ([_function("DECLARE own INT; SET own = 1, @made = 2")], _MADE),
    "SET SESSION": ([_function("SET SESSION time_zone = '+05:00'")], "SELECT @@time_zone"),
    "SET without a word": ([_function("SET time_zone = '+05:00'")], "SELECT @@time_zone"),
    "SET in an IF": ([_function("IF TRUE THEN SET @made = 1; END IF")], _MADE),
    "SET behind a comment": ([_function("/* it's */ # not\n SET @made = 1")], _MADE),
    "a lock": ([_function(f"DO GET_LOCK({_LOCK}, 0)")], _IS_FREE),
    "a lock in one of its own": ([_function(f"DECLARE own INT; SET own = GET_LOCK({_LOCK}, 0)")], _IS_FREE),
    "by RETURN alone": (
        [f"CREATE FUNCTION made() RETURNS INT NOT DETERMINISTIC NO SQL RETURN GET_LOCK({_LOCK}, 0)"],
        _IS_FREE,
    ),
    "by another function": (
        [_function("SET @made = 1", name="`madeInside`"), _function("DECLARE own INT; SET own = `madeInside`()")],
        _MADE,
    ),
}
FUNCTIONS_LEAVING_NOTHING: dict[str, list[str]] = {
    "variables of its own": [_function("DECLARE a, b INT DEFAULT 1; SET a = 2, b := 3; SET a := b + @made")],
    "a parameter": [
        "CREATE FUNCTION made_of(t TEXT) RETURNS INT DETERMINISTIC BEGIN SET t = TRIM(t); RETURN LENGTH(t); END",
        _function("DECLARE own INT; SET own = made_of(' a ')"),
    ],
    "rows": [_function("UPDATE probes SET value = 1; DELETE FROM probes")],
    "words": [_function("DECLARE own TEXT; SET own = 'SET @made = 1' -- SET @made = 1\n")],
    "by another function": [
        _function("DECLARE own INT; SET own = 1", name="made_inside"),
        _function("DECLARE own INT; SET own = made_inside()"),
    ],
}

# For test_errors.py: what ends a transaction from inside of a statement (to make it, to run it, to drop it).
ENDING: dict[str, tuple[str | None, str, str | None]] = {
    "a procedure that commits": ("CREATE PROCEDURE ending() COMMIT", "CALL ending()", "DROP PROCEDURE ending"),
    "a procedure that rolls back": ("CREATE PROCEDURE ending() ROLLBACK", "CALL ending()", "DROP PROCEDURE ending"),
    "a procedure that changes a table": (
        "CREATE PROCEDURE ending() ALTER TABLE numbered COMMENT = 'ending'",
        "CALL ending()",
        "DROP PROCEDURE ending",
    ),
}

# For tests/test_warm_pool.py: the table `changing`, and how a migration changes it.
CREATE = "CREATE TABLE changing (id int PRIMARY KEY, x int NOT NULL, mood ENUM('glad', 'sad') NOT NULL DEFAULT 'glad')"
DROP = "DROP TABLE changing"
PLANS_GROW_OLD = False
MIGRATIONS = {
    "another type": "ALTER TABLE changing MODIFY x varchar(20) NOT NULL",
    "a larger type": "ALTER TABLE changing MODIFY x double NOT NULL",
    "one column more": "ALTER TABLE changing ADD COLUMN y int NOT NULL DEFAULT 0",
    "an enum that is made anew": "ALTER TABLE changing MODIFY mood ENUM('calm', 'glad', 'sad') NOT NULL DEFAULT 'glad'",
    "the table made anew": f"{DROP}; {CREATE}; INSERT INTO changing (id, x) VALUES (1, 7)",
}
