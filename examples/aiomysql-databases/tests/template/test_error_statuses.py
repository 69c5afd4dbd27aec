"""Each error of the data layer is answered as docs/database.md says."""

import inspect
import re

from app import database
from app.database import DatabaseError
from tests.pages import page


def statuses() -> dict[str, int]:
    """By the table of the page: a row may be about several errors."""
    rows = re.findall(r"^\| (`[^|]*`) \| (\d{3}) \|", page("database.md"), re.MULTILINE)
    return {name: int(status) for names, status in rows for name in re.findall(r"`(\w+)`", names)}


def test_each_error_has_the_status_that_the_page_says_and_none_is_left_out() -> None:
    errors = {
        name: error.status
        for name, error in inspect.getmembers(database, inspect.isclass)
        if issubclass(error, DatabaseError)
    }
    assert statuses().items() <= errors.items()
    # Families, of which the page speaks in the rows of their members, and what not every server or access style has.
    assert errors.keys() - statuses().keys() <= {"Retryable", "Unavailable", "ExclusionViolation", "StaleRow"}
