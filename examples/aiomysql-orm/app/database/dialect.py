"""MySQL, MariaDB and aiomysql, as facts: names, ports, and how a text of their SQL is read."""

import re
from typing import Any

from sqlalchemy import DateTime, Double, Enum, Float
from sqlalchemy.dialects.mysql import DATETIME, ENUM, SET

NAME = "aiomysql"
SERVER = "MySQL and MariaDB"
SCHEMES = ("mysql", "mariadb")
PORT = 3306
QUOTE = "`"  # of names
SEVERAL_HOSTS = False
SOCKET_HAS_PORT = False
DIRECT_TLS: list[str] = []  # no connection begins with it
DIALECT = "mysql+aiomysql"
TIMESTAMP_TYPE: DateTime = DATETIME(fsp=6)  # without fsp microseconds are rounded, 23:59:59.6 into the next day
# One migration at a time, until the connection closes. Such locks are the server's: the name has the database's in it.
MIGRATION_LOCK = "SELECT GET_LOCK(CONCAT('migrate:', SHA2(DATABASE(), 224)), 0)"
REVISIONS = "SELECT GROUP_CONCAT(version_num SEPARATOR ' ') FROM {}"
RELEASES_BATCHES = True  # of bulk rows, by their savepoint
SPARE_CONNECTIONS = 2  # beside the pool: readiness, and ending what was given up
# How far a primary has written, and whether a replica has come so far: by GTID, which anybody may read; NULL without,
# and where nothing was ever replicated.
POSITION = "SELECT NULLIF(/*!80000 @@GLOBAL.gtid_executed */ /*M! @@GLOBAL.gtid_binlog_pos */, '')"
REACHED = """SELECT /*!80000 GTID_SUBSET('{0}', @@GLOBAL.gtid_executed) */
    /*M! IF(@@GLOBAL.gtid_slave_pos = '', NULL, MASTER_GTID_WAIT('{0}', 0) = 0) */"""
POSITIONS = "GTIDs, by gtid_mode=ON on MySQL or a binary log on MariaDB"
CONNECTION_LIMIT = "SELECT LEAST(@@max_connections, IF(@@max_user_connections, @@max_user_connections, 1000000))"

# What holds no words of a statement: https://dev.mysql.com/doc/refman/9.7/en/language-structure.html. A comment that
# begins with /*! or /*M! is code.
NO_WORDS = re.compile(
    r"""--(?=\s|$)[^\n]*|\#[^\n]*|/\*(?!M?!).*?\*/|/\*M?!\d*|\*/|'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*"|`(?:[^`]|``)*`""",
    re.DOTALL | re.VERBOSE,
)
READING = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN", "DESCRIBE", "DESC"})
# What commits what came before, https://dev.mysql.com/doc/refman/9.7/en/implicit-commit.html, and on MariaDB
# https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/: by some of them unseen, and none is undone.
REFUSED = re.compile(
    r"""(?:SET\ STATEMENT\ .*?\ FOR\ )?(?:
    (?:ALTER|BACKUP|BEGIN|CACHE|CHANGE|CHECK|CLONE|COMMIT|EXECUTE\ IMMEDIATE|FLUSH|GRANT|IMPORT|INSTALL|LOAD\ INDEX)\b
    |(?:LOCK|OPTIMIZE|RENAME|REPAIR|RESET|RESTART|REVOKE|SET\ (?:PASSWORD|DEFAULT\ ROLE)|SHUTDOWN|START|STOP)\b
    |(?:TRUNCATE|UNINSTALL|UNLOCK|XA)\b|CREATE\ (?!(?:OR\ REPLACE\ )?TEMPORARY\ TABLE\b)
    |DROP\ (?!(?:TEMPORARY|PREPARE)\b)|ANALYZE\ (?:(?:NO_WRITE_TO_BINLOG|LOCAL)\ )?TABLES?\b
    |ROLLBACK\b(?!.*\bTO\b)|SET\ (?:.*,\ ?)?(?:SESSION\ |LOCAL\ |@@(?:\w+\.)?)?AUTOCOMMIT\b)""",
    re.VERBOSE,
)
REFUSED_BECAUSE = "It would commit what came before, and cannot be undone: make it a migration"
# What stays with the session when the transaction is over: https://dev.mysql.com/doc/c-api/9.7/en/mysql-reset-connection.html
STAYING = re.compile(
    r"""^(?:SET\ STATEMENT\ .*?\ FOR\ )?(?:SET(?!\ STATEMENT\b)|USE|PREPARE|EXECUTE|DEALLOCATE|HANDLER|CALL|DO|LOAD)\b
    |\b(?:CREATE|DROP)\ (?:OR\ REPLACE\ )?TEMPORARY\b|\bGET_LOCK\ ?\(|\bLAST_INSERT_ID\ ?\(\ ?[^\ )]|:=
    |\bINTO\ ?@|^GET\b""",
    re.VERBOSE,
)
LOCAL_BY = re.compile("(?!)")  # nothing stays or not by the value of a parameter
# Those that the service's database has of its own.
FUNCTIONS = """
    SELECT routine_name, routine_definition FROM information_schema.routines
    WHERE routine_type = 'FUNCTION' AND routine_schema = DATABASE()
"""
# What a function assigns to variables and parameters of its own, unless one of the session is among them: those have @
# or a word before them, or are some of these.
OF_ITS_OWN = re.compile(
    r"""\bSET\ (?![^;]*(?:@[\w.]+|\b(?:AUTOCOMMIT|CHARACTER_SET_\w+|COLLATION_\w+|DEFAULT_WEEK_FORMAT
        |GROUP_CONCAT_MAX_LEN|(?:LAST_)?INSERT_ID|LC_TIME_NAMES|(?:INNODB_)?LOCK_WAIT_TIMEOUT
        |MAX_(?:EXECUTION|STATEMENT)_TIME|OPTIMIZER_SWITCH|SQL_\w+|TIME_ZONE|TIMESTAMP|(?:TX|TRANSACTION)_\w+
        |\w+_CHECKS))\ ?:?=)\w+\ ?:?=
    |,\ ?\w+\ ?:=""",
    re.VERBOSE,
)
KEEPING = ", whose connection is closed at its end when its session was changed"


def sorts_otherwise(type: Any) -> bool:
    """Whether ORDER BY and > do not agree: of words, which have a place, of a FLOAT, which is read with six digits."""
    type = getattr(type, "impl_instance", type)  # of a service's own
    words = isinstance(type, ENUM | SET) or (isinstance(type, Enum) and type.native_enum)
    return words or (isinstance(type, Float) and (type.asdecimal or not isinstance(type, Double)))
