"""MySQL's and MariaDB's error numbers and PyMySQL's errors, as ours."""

import re

import pymysql

from app.database import errors

# https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html, https://mariadb.com/docs/server/reference/error-codes
_BY_NUMBER: dict[int, type[errors.DatabaseError]] = {
    1062: errors.UniqueViolation,
    1451: errors.ForeignKeyViolation,
    1452: errors.ForeignKeyViolation,
    1048: errors.NotNullViolation,
    1364: errors.NotNullViolation,
    3819: errors.CheckViolation,
    4025: errors.CheckViolation,  # MariaDB
    1264: errors.InvalidValue,
    1292: errors.InvalidValue,
    1366: errors.InvalidValue,
    1406: errors.InvalidValue,
    3140: errors.InvalidValue,
    1213: errors.Deadlock,
    1020: errors.SerializationFailure,  # MariaDB, innodb_snapshot_isolation
    1412: errors.SchemaChanged,  # by a migration, after the snapshot of the transaction
    1615: errors.SchemaChanged,
    1205: errors.LockTimeout,
    3572: errors.LockTimeout,  # NOWAIT on MySQL
    1969: errors.StatementTimeout,  # MariaDB
    3024: errors.StatementTimeout,
    1290: errors.ReadOnlyServer,
    1792: errors.ReadOnlyServer,
    1040: errors.TooManyConnections,
    1203: errors.TooManyConnections,
    1226: errors.TooManyConnections,
    1044: errors.AccessDenied,
    1045: errors.AccessDenied,
    1049: errors.AccessDenied,
    1129: errors.AccessDenied,
    1130: errors.AccessDenied,
    1698: errors.AccessDenied,
    2026: errors.AccessDenied,  # TLS
    2059: errors.AccessDenied,  # a way of authentication that the client does not know, or not without TLS
    1053: errors.ServerGone,
    1317: errors.StatementTimeout,  # KILL QUERY
    1927: errors.ServerGone,
    2003: errors.ServerGone,
    2006: errors.ServerGone,
    2013: errors.ServerGone,
}
_CONSTRAINT = re.compile(r"for key '(?:.*\.)?([^'.]+)'$|CONSTRAINT `([^`]+)`|[Cc]onstraint [`']([^`']+)[`']")


def classify(error: BaseException) -> errors.DatabaseError | None:
    """Our error for the driver's, or None for one that is not the database's."""
    if isinstance(error, pymysql.MySQLError):
        number, message = (*error.args, "", "")[:2]
        if not isinstance(number, int) or isinstance(error, pymysql.err.InterfaceError):  # of the client's own making
            if isinstance(error, pymysql.err.ProgrammingError):  # a value that SQL cannot write
                return errors.InvalidValue()
            return errors.ServerGone()  # not connected, or the protocol is out of step
        kind = _BY_NUMBER.get(number, errors.DatabaseError)
        # The message also holds the row's values: nothing but the constraint's name may leave.
        found = _CONSTRAINT.search(str(message)) if kind.status in (409, 422) else None
        return kind(constraint=next(filter(None, found.groups())) if found else None)
    if isinstance(error, UnicodeEncodeError):  # half of a surrogate pair: nothing was sent
        return errors.InvalidValue()
    if isinstance(error, OSError):  # TimeoutError and ConnectionError among them
        return errors.ServerGone()
    return None
