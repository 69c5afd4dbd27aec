"""PostgreSQL's error codes and asyncpg's errors, as ours."""

import re

import asyncpg

from app.database import errors

# https://www.postgresql.org/docs/current/errcodes-appendix.html; a class of codes stands by its first two characters
_BY_SQLSTATE: dict[str, type[errors.DatabaseError]] = {
    "23505": errors.UniqueViolation,
    "23503": errors.ForeignKeyViolation,
    "23001": errors.ForeignKeyViolation,
    "23502": errors.NotNullViolation,
    "23514": errors.CheckViolation,
    "22": errors.InvalidValue,
    "40001": errors.SerializationFailure,
    "40P01": errors.Deadlock,
    "55P03": errors.LockTimeout,
    "57014": errors.StatementTimeout,
    "25006": errors.ReadOnlyServer,
    "25P02": errors.TransactionAborted,
    "53300": errors.TooManyConnections,
    "08": errors.ServerGone,
    "28": errors.AccessDenied,
    "3D000": errors.AccessDenied,
    "57": errors.ServerGone,
    "25P03": errors.ServerGone,  # idle_in_transaction_session_timeout
}
# A plan, or the driver's idea of a type, that is older than a migration.
_OUTDATED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
_TYPE_IS_GONE = re.compile(r"cache lookup failed for (type|relation|attribute)")


def classify(error: BaseException) -> errors.DatabaseError | None:
    """Our error for the driver's, or None for one that is not the database's."""
    if isinstance(error, _OUTDATED):
        return errors.SchemaChanged()
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state == "XX000" and _TYPE_IS_GONE.search(str(error)):
            return errors.SchemaChanged()
        kind = _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2]) or errors.DatabaseError
        return kind(constraint=getattr(error, "constraint_name", None))
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return errors.Unavailable("None of the hosts that answer has the wanted part: is there a primary?")
    if isinstance(error, asyncpg.InterfaceError):
        if isinstance(error, ValueError):  # asyncpg's own DataError: a parameter that the protocol cannot carry
            return errors.InvalidValue()
        return errors.ServerGone() if "closed" in str(error) else errors.DatabaseError()
    if isinstance(error, asyncpg.InternalClientError):
        # What a terminated session still said puts the protocol out of step; the others say nothing of the server.
        return errors.ServerGone() if "protocol" in str(error) else errors.DatabaseError()
    return errors.ServerGone() if isinstance(error, OSError) else None
