"""From a library's error to ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLCertVerificationError

from app.database import driver
from app.database.error_codes import classify
from app.database.errors import AccessDenied, DatabaseError, ReadOnlyServer, ReadOnlySession, Retryable, ServerGone


def translate(error: BaseException, *, writing: bool) -> DatabaseError | None:
    """Our error for what a driver, or a library above it, raised; None for an error that is not the database's.

    `writing` tells a server that takes no writes from a session that was not opened for them: both answer alike.
    """
    if isinstance(error, DatabaseError):
        return error
    error = getattr(error, "driver_exception", error)  # SQLAlchemy's name for what it wrapped
    if isinstance(error, SSLCertVerificationError) or isinstance(error.__cause__, SSLCertVerificationError):
        return AccessDenied("The database server's certificate is not one that the URL's TLS mode trusts")
    ours = classify(error)
    return ReadOnlySession() if isinstance(ours, ReadOnlyServer) and not writing else ours


@contextmanager
def translated(*, writing: bool) -> Iterator[None]:
    """Raise our error instead of the library's, which becomes its cause."""
    try:
        yield
    except Exception as error:
        ours = translate(error, writing=writing)
        if ours is None or ours is error:
            raise
        raise ours from error


@contextmanager
def errors_of(raw: driver.RawConnection, *, writing: bool) -> Iterator[None]:
    """Our errors instead of the driver's; what they say of the connection is kept in mind."""
    try:
        with translated(writing=writing):
            yield
    except Retryable:
        driver.doom(raw)
        raise
    except (ServerGone, ReadOnlyServer):  # after a failover the next connection finds the new primary
        driver.terminate(raw)
        raise
