"""What can go wrong in a database, the same classes for every server and access style.

A session's own methods and COMMIT raise these, so `except UniqueViolation` works inside a route; what a route leaves
alone, app/problems.py answers. The message is safe to show; the driver's own error is the `__cause__`, for the log.
"""

from typing import ClassVar


class DatabaseError(Exception):
    """The base, and what is left for an error that no class below describes: a bug in the service, status 500."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "The database refused the statement"

    def __init__(self, detail: str | None = None, *, constraint: str | None = None, row: int | None = None) -> None:
        super().__init__(detail or self.title)
        self.constraint = constraint
        self.row = row  # of several that were given: the first one at fault, from 0


class UniqueViolation(DatabaseError):
    status, title = 409, "A row with these values is already there"


class ExclusionViolation(DatabaseError):
    status, title = 409, "The row overlaps one that is already there"


class StaleRow(DatabaseError):
    status, title = (409, "A row was changed or removed by somebody else meanwhile")


class ForeignKeyViolation(DatabaseError):
    status, title = (409, "A row that this one needs is missing, or another row still needs this one")


class InvalidValue(DatabaseError):
    """Too long, out of range, or of a form that the column does not take."""

    status, title = 422, "A value does not fit its column"


class NotNullViolation(InvalidValue):
    title = "A value that must be given is missing"


class CheckViolation(InvalidValue):
    """A CHECK, the CHECK OPTION of a view, a policy of row-level security, or what a trigger raises."""

    title = "A value breaks a rule of its table"


class ValueTooLarge(InvalidValue):
    status, title = (413, "A value, or all of them together, is larger than the database server takes")


class UnreadableValue(DatabaseError):
    # What is stored is none of its type, such as MySQL's 0000-00-00: nothing that the request could help.
    title = "A stored value cannot be read"


class Retryable(DatabaseError):
    """The transaction met another one; run again as a whole, it may succeed (`Database.run_transaction`)."""

    status, title = 503, "The transaction met another one at the same rows"


class SerializationFailure(Retryable):
    pass


class Deadlock(Retryable):
    pass


class SchemaChanged(Retryable):
    title = "The tables were changed while the transaction ran"


class LockTimeout(Retryable):
    title = "The rows stayed locked for too long"


class Unavailable(DatabaseError):
    # Nothing is wrong with the request: it may succeed a little later.
    status, title = 503, "The database is not available"


class ServerGone(Unavailable):
    title = "The database server cannot be reached"


class TooManyConnections(Unavailable):
    title = "The database server takes no further connections"


class ReadOnlyServer(Unavailable):
    title = "The database server takes no writes at the moment"


class AccessDenied(Unavailable):
    title = "The database server refuses the user, the password or the database"


class PoolTimeout(Unavailable):
    title = "No database connection became free in time"


class StatementTimeout(DatabaseError):
    status, title = 504, "The statement took too long"


class TransactionTimeout(DatabaseError):
    status, title = 504, "The unit of work took too long"


class OutcomeUnknown(DatabaseError):
    # COMMIT was sent, and no answer came: the transaction is stored as a whole, or not at all. It is not run again.
    status, title = (504, "The database did not say whether the transaction was committed")


class TransactionAborted(DatabaseError):
    title = "The transaction was lost before the end of its unit of work"


class SchemaMismatch(DatabaseError):
    title = "The statement names a table or a column that the database does not have"


class NestedSession(DatabaseError):
    # A bug: a task that waits for a second connection while it holds one may wait for ever. Pass the session on.
    title = "A task inside an open transaction began another unit of work"


class StatementUnderWay(DatabaseError):
    # A bug: a task that was not awaited, or the rest of a `gather` of which one part failed.
    title = "The unit of work ended while a statement of its session was under way: its connection was dropped"


class StatementRefused(DatabaseError):
    title = "The statement is not one that this session may run"


class ReadOnlySession(StatementRefused):
    title = "A read session was asked to write: use a WriteSession or Database.transaction()"


class SessionClosed(DatabaseError):
    title = "The session is closed: work that outlives the request opens its own (docs/database.md)"
