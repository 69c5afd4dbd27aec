"""PostgreSQL's error codes and asyncpg's errors, as ours: by the class of the code, then by what stands out of it."""

import re

import asyncpg

from app.database import errors

# https://www.postgresql.org/docs/current/errcodes-appendix.html; a class of codes stands by its first two characters.
# What is not here is a bug, of the service or of its database: 500.
_BY_SQLSTATE: dict[str, type[errors.DatabaseError]] = {
    "08": errors.ServerGone,
    "08007": errors.OutcomeUnknown,
    "08P01": errors.DatabaseError,  # two that speak the protocol differently; a pooler that says so closes as well
    "22": errors.InvalidValue,
    "22012": errors.DatabaseError,  # a division by zero: no column would take another value
    "2200H": errors.DatabaseError,  # a sequence has come to its end
    "22P04": errors.DatabaseError,  # of COPY's format, which is the driver's
    "23": errors.CheckViolation,
    "23001": errors.ForeignKeyViolation,
    "23502": errors.NotNullViolation,
    "23503": errors.ForeignKeyViolation,
    "23505": errors.UniqueViolation,
    "23P01": errors.ExclusionViolation,
    "25006": errors.ReadOnlyServer,
    "25P02": errors.TransactionAborted,
    "25P03": errors.ServerGone,  # idle_in_transaction_session_timeout
    "25P04": errors.ServerGone,  # transaction_timeout
    "28": errors.AccessDenied,
    "3D000": errors.AccessDenied,
    "40": errors.SerializationFailure,
    "40002": errors.DatabaseError,  # by a constraint: it would come again
    "40003": errors.OutcomeUnknown,
    "40P01": errors.Deadlock,
    "42703": errors.SchemaMismatch,
    "42P01": errors.SchemaMismatch,
    "44": errors.CheckViolation,  # WITH CHECK OPTION
    "53": errors.Unavailable,  # no disk, no memory
    "53300": errors.TooManyConnections,
    "54": errors.ValueTooLarge,  # for an index, an array; JSON that is nested too deep
    "54011": errors.DatabaseError,  # too many columns or arguments: of a statement
    "54023": errors.DatabaseError,
    "55P03": errors.LockTimeout,
    "57": errors.ServerGone,
    "57014": errors.StatementTimeout,
    "58": errors.Unavailable,  # the server's disk
    "HV001": errors.Unavailable,  # of a foreign server
    "HV00N": errors.Unavailable,
    "P0001": errors.CheckViolation,  # RAISE: how a trigger says a rule; what must never be is an ASSERT, P0004
}
# A plan, or the driver's idea of a type, that is older than a migration.
_OUTDATED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
# Classes of codes whose messages name tables, columns, constraints, roles, addresses, and never a value; the details
# that come with a message may. What RAISE says can be anything.
_SAYS_NO_VALUE = ("08", "23", "25", "28", "3D", "40", "42", "44", "53", "54", "55", "57")
LIBRARIES = ("asyncpg",)  # whose own messages may hold a value
_CLOSED = re.compile(r"connection is closed")  # not a cursor, nor a prepared statement
_OUT_OF_STEP = re.compile(r"protocol|cannot switch to state|not connected")
_TYPE_IS_GONE = re.compile(r"cache lookup failed for (type|relation|attribute)")


def classify(error: BaseException) -> errors.DatabaseError | None:
    """Our error for the driver's, or None for one that is not the database's."""
    if isinstance(error, _OUTDATED):
        return errors.SchemaChanged()
    if isinstance(error, asyncpg.PostgresError):
        return _kind(error)(constraint=error.constraint_name)
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return errors.Unavailable("None of the hosts that answer has the wanted part: is there a primary?")
    if isinstance(error, asyncpg.InterfaceError):
        return errors.ServerGone() if _CLOSED.search(str(error)) else errors.DatabaseError()
    if isinstance(error, asyncpg.InternalClientError):
        # What a terminated session still said puts the protocol out of step; the others say nothing of the server.
        return errors.ServerGone() if _OUT_OF_STEP.search(str(error)) else errors.DatabaseError()
    return errors.ServerGone() if isinstance(error, OSError) else None


def code_of(error: BaseException) -> str | None:
    """The server's code for an error, or for what it was raised from."""
    state: str | None = getattr(error, "sqlstate", None)
    return code_of(error.__cause__) if state is None and error.__cause__ is not None else state


def wording(error: BaseException) -> str | None:
    """What the server's error says, as far as no value is in it; None for one that is not the server's."""
    if not isinstance(error, asyncpg.PostgresError):
        return None
    state = error.sqlstate or ""
    if error.severity is None:  # the driver's own, which quotes what the server had said before
        return f"{str(error).partition(':')[0]} (SQLSTATE {state})"
    tells = error.server_source_function == "exec_stmt_raise" or not state.startswith(_SAYS_NO_VALUE)
    return f"SQLSTATE {state}" if tells or state == "42601" else f"{error.args[0]} (SQLSTATE {state})"


def _kind(error: asyncpg.PostgresError) -> type[errors.DatabaseError]:
    state = error.sqlstate or ""
    if state == "XX000" and _TYPE_IS_GONE.search(str(error)):
        return errors.SchemaChanged
    if isinstance(error, asyncpg.DataError) and isinstance(error.__cause__, TypeError | AttributeError):
        return errors.DatabaseError  # asyncpg's own: an int for a text column, which no client can have sent
    if state == "42501" and error.server_source_function == "ExecWithCheckOptions":
        return errors.CheckViolation  # a policy of row-level security; the others are privileges that were not granted
    kind = _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2]) or errors.DatabaseError
    if state == "42501" and error.severity_en == "FATAL":  # at the door: CONNECT is not granted
        return errors.AccessDenied
    if error.severity_en in ("FATAL", "PANIC"):  # after which the server closes the connection
        return kind if issubclass(kind, errors.Unavailable) else errors.ServerGone
    if kind is errors.ServerGone and error.severity_en == "ERROR":  # of another server, by dblink or a foreign table
        return errors.Unavailable
    return kind
