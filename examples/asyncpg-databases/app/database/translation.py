"""From a library's error to ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLCertVerificationError, SSLError

from sqlalchemy import exc
from sqlalchemy.orm.exc import StaleDataError

from app.database import errors
from app.database.error_codes import classify

ENDED = "A statement ended the transaction of its unit of work: what came before may be stored"
# Not a class of the service's own that is called Transaction.
_OF_TRANSACTION = re.compile(
    r"^(?!Instance |Could not refresh |Incorrect |One or more mappers ).*(?:transaction|savepoint)", re.IGNORECASE
)
# What a server says of our certificate: https://www.rfc-editor.org/rfc/rfc8446#section-6.2
_ABOUT_US = re.compile(r"ALERT_.*(?:CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)|ALERT_HANDSHAKE_FAILURE")


def translate(error: BaseException, *, writing: bool) -> errors.DatabaseError | None:
    """Our error for what a driver, or a library above it, raised; None for an error that is not the database's.

    `writing` tells a server that takes no writes from a session that was not opened for them: both answer alike.
    """
    if isinstance(error, exc.StatementError) and error.orig is not None:  # SQLAlchemy has wrapped it
        if isinstance(error.orig, OverflowError):  # of a type, which counts from a value
            return errors.InvalidValue()
        return translate(error.orig, writing=writing)
    if isinstance(error, errors.DatabaseError):
        return error
    if isinstance(error, StaleDataError):
        return errors.StaleRow()
    if isinstance(error, exc.PendingRollbackError):
        return errors.TransactionAborted()
    if isinstance(error, exc.InvalidRequestError) and "permanently closed" in str(error):
        return errors.SessionClosed()
    if isinstance(error, exc.InvalidRequestError) and _OF_TRANSACTION.search(str(error)):
        return errors.StatementRefused(
            "The session's transaction or savepoint was begun or ended elsewhere, as by a task"
        )
    if refused := _of_tls(error) or _of_tls(error.__cause__):
        return refused
    ours = classify(error)
    if isinstance(ours, errors.ReadOnlyServer) and not writing:
        return errors.ReadOnlySession()
    if isinstance(ours, errors.ReadOnlySession) and writing:  # by what a connection is outside of a transaction
        return errors.TransactionAborted(ENDED)
    return ours


def of_group(group: ExceptionGroup[Exception]) -> errors.DatabaseError | None:
    """The first of the errors of tasks, as a TaskGroup raises them together; None unless all are ours."""
    first: Exception = group
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, errors.DatabaseError) and not group.split(errors.DatabaseError)[1] else None


def _of_tls(error: BaseException | None) -> errors.DatabaseError | None:
    if isinstance(error, SSLCertVerificationError):
        return errors.AccessDenied("The database server's certificate is not one that the URL's TLS mode trusts")
    if isinstance(error, SSLError) and _ABOUT_US.search(error.reason or ""):
        return errors.AccessDenied("The database server wants a certificate of the client, or another one")
    return None


@contextmanager
def translated(*, writing: bool, connecting: bool = True) -> Iterator[None]:
    """Raise our error instead of the library's, which becomes its cause.

    Without `connecting` an OSError is not the database's: the driver's own have been translated where they arose.
    """
    try:
        yield
    except Exception as error:
        ours = translate(error, writing=writing) if connecting or not isinstance(error, OSError) else None
        if ours is None or ours is error:
            raise
        raise ours from error
