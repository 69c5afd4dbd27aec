"""Replies of MySQL and MariaDB, with what aiomysql makes of them, at half of its cost for a hundred rows: what has been
received is taken as it lies there, and what columns are called and are is read once.
"""

from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from aiomysql.connection import MySQLResult
from pymysql.constants import FIELD_TYPE
from pymysql.converters import decoders
from pymysql.protocol import FieldDescriptorPacket

DATES: dict[int, Callable[[str], Any]] = {
    FIELD_TYPE.DATE: date.fromisoformat,
    FIELD_TYPE.DATETIME: datetime.fromisoformat,
    FIELD_TYPE.TIMESTAMP: datetime.fromisoformat,
}
_LONGEST = 0xFFFFFF  # bytes of a packet: another one follows
# https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_dt_integers.html
_NULL, _BYTES = 251, {252: 2, 253: 3, 254: 8}


def take_packet(reader: Any, number: int) -> bytes | None:
    """The next packet, which has this number, if all of it has been received and it is no part of a longer one."""
    received: bytearray = reader._buffer
    if len(received) < 4 or received[3] != number:
        return None
    end = 4 + int.from_bytes(received[:3], "little")
    if len(received) < end or end == 4 + _LONGEST:
        return None
    packet = bytes(memoryview(received)[4:end])
    del received[:end]
    reader._maybe_resume_transport()
    return packet


@lru_cache(1000)
def column_of(packet: bytes, encoding: str) -> FieldDescriptorPacket:
    """A column's description; it is not changed by anybody."""
    return FieldDescriptorPacket(packet, encoding)


class Result(MySQLResult):  # type: ignore[misc]  # aiomysql ships no types
    def _read_row_from_packet(self, packet: Any) -> tuple[Any, ...]:
        data, at = packet.get_all_data(), 0
        row: list[Any] = []
        for encoding, convert in self.converters:
            length = data[at]
            at += 1
            if length == _NULL:
                row.append(None)
                continue
            if length > _NULL:
                start, at = at, at + _BYTES[length]
                length = int.from_bytes(data[start:at], "little")
            start, at = at, at + length
            value = data[start:at] if encoding is None else data[start:at].decode(encoding)
            row.append(value if convert is None else convert(value))
        if at != len(data):
            raise ValueError("a row is shorter or longer than its columns")
        return tuple(row)


def date_of(kind: int, text: str) -> Any:
    """A date or an instant; the text itself where it is none, such as 0000-00-00."""
    try:
        return DATES[kind](text)
    except ValueError:
        return decoders[kind](text)
