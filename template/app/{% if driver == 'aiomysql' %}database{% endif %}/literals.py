"""Values of Python's as they stand in a statement. What MySQL and MariaDB would take for another value than it is, such
as an object by its name or a time without its offset, is refused.
"""

from collections.abc import Callable, Collection
from datetime import datetime, time
from enum import Enum
from functools import lru_cache
from numbers import Number
from typing import Any

from pymysql.converters import encoders
from sqlalchemy.sql import ClauseElement

from app.database.errors import InvalidValue

_TIMES = (datetime, time)
_NO_TEXT = (object.__str__, Enum.__str__)  # but what Python shows of an object that has none


def literal(value: Any, escape_string: Callable[[str], str]) -> str:
    """Raises InvalidValue for an SQL expression, TypeError and ValueError for what else cannot be stored as it is.

    Bytes without backslashes, which are ordinary characters to a server with NO_BACKSLASH_ESCAPES; what aiomysql
    0.3.2 calls for them is no function from PyMySQL 1.2.3 on (aiomysql#1080).
    """
    if isinstance(value, str):
        try:
            value.isascii() or value.encode()
        except UnicodeEncodeError:  # aiomysql would make bytes of them, and the server other characters
            raise InvalidValue("A text holds half of a surrogate pair, which is no character") from None
        return f"'{escape_string(value)}'"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"_binary X'{value.hex()}'"
    kind: Any = type(value)
    if (base := _base_of(kind)) is not None:
        if base in _TIMES and value.utcoffset():
            raise ValueError("a time with an offset from UTC, which its column would not keep: use UtcDateTime")
        written: str = encoders[base](base(value) if kind is not base and isinstance(value, Number) else value, None)
        return written
    if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
        raise InvalidValue("A value is an SQL expression: those go into the statement, as by insert().values()")
    if kind.__str__ in _NO_TEXT:
        raise TypeError(f"{kind.__name__} is no type of values that a column has")
    return f"'{escape_string(str(value))}'"


@lru_cache(1000)
def _base_of(kind: type) -> type | None:
    """Which PyMySQL knows how to write: it goes by the very class, and would take pendulum's times for text. Older ones
    write collections too, which are no values.
    """
    return next((base for base in kind.__mro__ if base in encoders and not issubclass(base, Collection)), None)
