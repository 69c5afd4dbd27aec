"""Stored values that Python does not have, such as a date before the year 1, are errors that name the column: never a
wrong value, nor a reason to give up the connection.
"""

import re
from collections.abc import Sequence
from typing import Any

from app.database.errors import UnreadableValue

# Of which Python has every value.
_READABLE = re.compile(r"bool|bytea|char|float|int\d|json|name|numeric|oid|text|uuid|varchar")


def error_of(columns: Sequence[Any]) -> UnreadableValue:
    """For a row with these columns, as asyncpg describes them."""
    suspected = [column for column in columns if not _READABLE.match(column.type.name)] or columns
    names = ", ".join(f"{column.name} ({column.type.name})" for column in suspected)
    which = f"The column {names}" if len(suspected) == 1 else f"One of the columns {names}"
    return UnreadableValue(f"{which} holds what Python does not have, such as a time outside of the years 1 to 9999")
