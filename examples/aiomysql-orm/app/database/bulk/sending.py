"""What goes to the driver directly is timed, and its errors are ours, as for any statement of a session."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.database import driver
from app.database.metrics import timed
from app.database.translation import errors_of


@contextmanager
def sending(raw: driver.RawConnection, text: str) -> Iterator[None]:
    """Around the sending alone: an error of what makes the caller's rows is not the database's."""
    with errors_of(raw, writing=True), timed(text):
        yield
