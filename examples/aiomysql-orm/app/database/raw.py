"""aiomysql's connection, which refuses what cannot be sent before it costs the connection, and says what cannot be read.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import aiomysql
from pymysql.constants import FIELD_TYPE
from pymysql.converters import decoders

from app.database import errors

_DATES = (FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP)


class Connection(aiomysql.Connection):  # type: ignore[misc]  # aiomysql ships no types
    """`max_packet` is the longest text that the server takes, where it has been asked."""

    max_packet: float = math.inf

    def __init__(self, **options: Any) -> None:
        dates = {kind: partial(self._date, decoders[kind]) for kind in _DATES}
        super().__init__(conv={**decoders, **dates}, **options)
        self.has_zero_dates = False

    def escape(self, value: Any) -> str:
        """As SQL. Raises InvalidValue for a number that is none; of floats PyMySQL says so itself."""
        if isinstance(value, Decimal) and not value.is_finite():
            raise errors.InvalidValue
        escaped: str = super().escape(value)
        return escaped

    async def query(self, sql: str, unbuffered: bool = False) -> Any:
        """Raises ValueTooLarge before anything is sent: the server reads no more of that connection (error 1153)."""
        if len(sql) * 4 >= self.max_packet and len(sql.encode(errors="replace")) + 1 >= self.max_packet:
            raise errors.ValueTooLarge
        return await super().query(sql, unbuffered)

    def refuse_zero_dates(self, fields: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
        """Raises UnreadableValue, with the name of the column, when one was among what has been read."""
        self.has_zero_dates = False
        dates = [(n, field.name) for n, field in enumerate(fields) if field.type_code in _DATES]
        for column in (name for row in rows for n, name in dates if isinstance(row[n], str)):
            raise errors.UnreadableValue(
                f"The column {column} holds a date that is none, such as 0000-00-00: NULL would be read"
            )

    def _date(self, decode: Callable[[str], Any], text: str) -> Any:
        value = decode(text)  # the text itself when it is no date
        self.has_zero_dates |= value is text or isinstance(value, str)
        return value
