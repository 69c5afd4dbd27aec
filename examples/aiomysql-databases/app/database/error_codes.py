"""MySQL's and MariaDB's errors and PyMySQL's, as ours: by number, or else by SQLSTATE, as HY000 says nothing."""

import re

import pymysql

from app.database import errors

# https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html,
# https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference. What is not here is a bug, of the
# service or of its database: 500. From 1900 on the servers give numbers of their own: what one of them has here is, on
# the other, of an administrator's statement.
_NUMBERS: dict[type[errors.DatabaseError], tuple[int, ...]] = {
    errors.UniqueViolation: (1022, 1062, 1169, 1557, 1586, 1761, 1762, 1859),
    errors.ForeignKeyViolation: (1216, 1217, 1451, 1452, 1834),
    errors.NotNullViolation: (1048, 1263, 1364, 1423, 3673),
    errors.CheckViolation: (1369, 3819, 4025),
    # Of class 22 are many more. A word that an ENUM has not, collations that do not mix, characters that the column's
    # set has not, no partition, a time zone or a pattern of regular expressions that is none, vectors.
    errors.InvalidValue: (
        *(1264, 1265, 1292, 1366, 1406, 1411, 1525, 1526, 1748, 1267, 1270, 1271, 1300, 1977, 3854, 3988),
        *(1298, 3997, 1139, *range(3684, 3699), 3700, 3887, 3900, 3643, 3905, 3906, 3908, 6136, 6137, 6138),
    ),
    errors.ValueTooLarge: (1105, 1118, 1153, 1162, 1197, 1301, 1705, 1713, 1742, 3231),
    errors.Deadlock: (1213, 1614, 3058, 3132),
    errors.SerializationFailure: (1020, 3101),  # 1020: MariaDB, innodb_snapshot_isolation
    errors.SchemaChanged: (1412, 1615),  # 1412: by a migration, after the snapshot of the transaction
    errors.SchemaMismatch: (1054, 1146),
    errors.LockTimeout: (1205, 1689, 3133, 3572),
    errors.StatementTimeout: (1317, 1969, 3024, 3699),  # 1317: KILL QUERY
    # A replica, InnoDB itself (1015 on MySQL, 1036 on MariaDB), a schema that is moved, a group without a majority.
    errors.ReadOnlyServer: (1015, 1036, 1290, 1836, 1874, 1881, 3100, 3989),
    errors.ReadOnlySession: (1792,),
    # Shut down, killed, offline, a COMMIT that a Galera node could not send to the others; what the client says itself.
    errors.ServerGone: (
        *(1053, 1077, 1079, 1180, 1927, 3032, 3168, 3169, 4031, 4081, 4082, 6400),
        *(2002, 2003, 2005, 2006, 2012, 2013, 2014, 2027, 2055),
    ),
    errors.TooManyConnections: (1040, 1135, 1203, 1226),
    # No disk, no memory, no place for a lock or a transaction; a group whose primary changes, which then refuses writes
    # to tables with cascading foreign keys (3098), as it always does with several primaries.
    errors.Unavailable: (
        *(1021, 1037, 1038, 1041, 1114, 1206, 1297, 1637, 3015, 3019, 3044, 3675, 3950, 3985),
        *(3098, 3781, 3782, 3783, 3797, 3798),
    ),
    # 1820, 1862: the password has expired; 3118, 3955, 4150, 4151: the account is locked; 2026, 3159: TLS.
    errors.AccessDenied: (
        *(1044, 1045, 1049, 1129, 1130, 1251, 1275, 1524, 1698, 1820, 1862, 3118, 3159, 3879, 3955, 4150, 4151),
        *(2026, 2059, 2061, 6126, 6127),
    ),
    # Out of their class: a name that is ambiguous, a division by zero.
    errors.DatabaseError: (1052, 1365),
}
_BY_NUMBER = {number: kind for kind, numbers in _NUMBERS.items() for number in numbers}
_BY_SQLSTATE: dict[str, type[errors.DatabaseError]] = {
    "08": errors.ServerGone,
    "22": errors.InvalidValue,
    "23": errors.CheckViolation,
    "28": errors.AccessDenied,
    "40": errors.SerializationFailure,
    "45": errors.CheckViolation,  # SIGNAL: how a trigger says a rule
}
# Numbers that mean what they mean here only with these words: other options, another server's number.
_ONLY_SAYING = {
    **{1015: "errno: 165", 1105: "writeset size exceeded", 1290: "read-only"},
    **{4081: "Connection closed", 4082: "Connection closed"},
}
# Errors whose messages name tables, columns, users, addresses, and never a value; the client's own are from 2000 on.
_SAYS_NO_VALUE = frozenset(
    {
        *(1040, 1044, 1045, 1046, 1048, 1049, 1053, 1054, 1130, 1136, 1142, 1143, 1146, 1203, 1205, 1213, 1226, 1227),
        *(1264, 1290, 1305, 1317, 1364, 1406, 1412, 1451, 1452, 1615, 1792, 1836, 1927, 1969, 3024, 3572, 3819, 4025),
        *range(2000, 3000),
    }
)
LIBRARIES = ("aiomysql", "pymysql")  # whose own messages may hold a value
# The message also holds the row's values: nothing but the constraint's name may leave.
_CONSTRAINT = {
    errors.UniqueViolation: re.compile(r"for key '(?:.*\.)?([^'.]+)'$"),
    errors.ForeignKeyViolation: re.compile(r"CONSTRAINT `([^`]+)`"),
    errors.CheckViolation: re.compile(r"(?:^CONSTRAINT|^Check constraint) [`']([^`']+)[`']"),
}


def classify(error: BaseException) -> errors.DatabaseError | None:
    """Our error for the driver's, or None for one that is not the database's."""
    if isinstance(error, pymysql.MySQLError):
        number, message = (*error.args, "", "")[:2]
        if not isinstance(number, int) or isinstance(error, pymysql.err.InterfaceError):
            return _of_the_client(error)
        if _ONLY_SAYING.get(number, "") not in message:
            return errors.DatabaseError()
        state = getattr(error, "sqlstate", None) or "HY000"  # a client's own error has none
        kind = _BY_NUMBER.get(number) or _BY_SQLSTATE.get(state[:2]) or errors.DatabaseError
        found = _CONSTRAINT[kind].search(str(message)) if kind in _CONSTRAINT else None
        return kind(constraint=found[1] if found else None)
    if isinstance(error, UnicodeEncodeError):  # half of a surrogate pair: nothing was sent
        return errors.InvalidValue()
    if isinstance(error, OSError):  # TimeoutError and ConnectionError among them
        return errors.ServerGone()
    return None


def code_of(error: BaseException) -> str | None:
    """The server's number for an error, or for what it was raised from."""
    if isinstance(error, pymysql.MySQLError) and error.args and isinstance(error.args[0], int):
        return str(error.args[0])
    return None if error.__cause__ is None else code_of(error.__cause__)


def wording(error: BaseException) -> str | None:
    """What the server's error says, as far as no value is in it; None for one that is not the server's."""
    if not isinstance(error, pymysql.MySQLError) or not (error.args and isinstance(error.args[0], int)):
        return None
    number, message = (*error.args, "")[:2]
    return f"{message} (error {number})" if number in _SAYS_NO_VALUE else f"error {number}"


def _of_the_client(error: pymysql.MySQLError) -> errors.DatabaseError:
    if "can not be used with MySQL" in str(error):  # NaN, or an infinity
        return errors.InvalidValue()
    if isinstance(error, pymysql.err.InterfaceError | pymysql.err.OperationalError | pymysql.err.InternalError):
        return errors.ServerGone()  # not connected, or the protocol is out of step
    return errors.DatabaseError()
