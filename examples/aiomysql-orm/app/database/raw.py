"""aiomysql's connection: what it cannot send is refused before it costs one, what it cannot read has a name."""

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import aiomysql
import pymysql
from pymysql.constants import CLIENT
from pymysql.converters import decoders
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket

from app.database import errors
from app.database.literals import literal
from app.database.replies import DATES, Result, column_of, date_of, take_packet

_TOO_LARGE = 1153

T = TypeVar("T")


class Connection(aiomysql.Connection):  # type: ignore[misc]  # aiomysql ships no types
    """`max_packet` is the longest text that the server takes, where it has been asked; `has_zero_dates` says that the
    last statement has read one.
    """

    _next_seq_id: int
    max_packet: float = math.inf
    has_zero_dates = False
    leaving_state: frozenset[str] = frozenset()  # stored functions: app/database/functions.py
    finish_stream: Callable[[bool], Awaitable[None]] | None = None  # of the one that is being read

    def __init__(self, **options: Any) -> None:
        dates = {kind: partial(self._date, kind) for kind in DATES}
        super().__init__(conv={**decoders, **dates}, **options)

    async def _request_authentication(self) -> None:
        """Raises AccessDenied, before anything is sent, where the server offers no TLS: aiomysql would go on."""
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise errors.AccessDenied("The database server offers no TLS, which the URL asks for")
        self._refuse_clear_text(self._server_auth_plugin, bool(self._ssl_context or self._secure))
        await super()._request_authentication()

    async def _process_auth(self, plugin_name: bytes, auth_packet: Any) -> Any:
        self._refuse_clear_text(plugin_name.decode(), self._secure)
        return await super()._process_auth(plugin_name, auth_packet)

    def _refuse_clear_text(self, plugin: str, secure: bool) -> None:
        if plugin == "mysql_clear_password" and not secure:
            raise errors.AccessDenied(
                "The database server wants the password in clear text, which goes over TLS or a socket only"
            )

    async def query(self, sql: str | bytearray, unbuffered: bool = False) -> Any:
        """Raises ValueTooLarge, if possible before anything is sent: the server reads no more of that connection."""
        if len(sql) * 4 >= self.max_packet:
            sent = sql.encode(errors="replace") if isinstance(sql, str) else sql
            if len(sent) + 1 >= self.max_packet:
                raise errors.ValueTooLarge
        self.has_zero_dates = False
        try:
            return await super().query(sql, unbuffered)
        except pymysql.err.OperationalError as error:
            if error.args[0] == _TOO_LARGE:
                self.close()
            raise

    def escape(self, value: Any) -> str:
        return literal(value, self.escape_string)

    def _write_bytes(self, data: bytes) -> None:
        if self._writer.transport.is_closing():  # asyncio's drops what is written, uvloop's raises a RuntimeError
            raise pymysql.err.OperationalError(2006, "The connection was reset")
        super()._write_bytes(data)

    async def _read_packet(self, kind: Any = MysqlPacket) -> Any:
        if self._reader.exception() or (data := take_packet(self._reader, self._next_seq_id)) is None:
            return await super()._read_packet(kind)
        self._next_seq_id = (self._next_seq_id + 1) % 256
        packet = column_of(data, self._encoding) if kind is FieldDescriptorPacket else kind(data, self._encoding)
        if packet.is_error_packet():
            if self._result is not None:
                self._result.unbuffered_active = False
            packet.raise_for_error()
        return packet

    async def _read_query_result(self, unbuffered: bool = False) -> None:
        self._result, result = None, Result(self)
        try:
            await self.whole(result.init_unbuffered_query() if unbuffered else result.read())
        except BaseException:
            result.unbuffered_active, result.connection = False, None
            raise
        self._result, self._affected_rows = result, result.affected_rows
        if result.server_status is not None:
            self.server_status = result.server_status

    async def whole(self, reading: Awaitable[T]) -> T:
        """What has been read. Raises UnreadableValue where a value cannot be decoded, and closes the connection: nobody
        else may meet the rest of the reply.
        """
        try:
            return await reading
        except pymysql.MySQLError:  # the server's own word ends its reply, and of a lost one nothing more comes
            raise
        except Exception as error:
            if self.closed:  # by another task, meanwhile
                raise errors.ServerGone from error
            self.close()
            self._close_reason = "A reply was not read to its end"
            raise errors.UnreadableValue from error

    def refuse_zero_dates(self, fields: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
        """Raises UnreadableValue with the name of the column when one is among the rows."""
        dates = [(n, field.name) for n, field in enumerate(fields) if field.type_code in DATES]
        for column in (name for row in rows for n, name in dates if isinstance(row[n], str)):
            raise errors.UnreadableValue(
                f"The column {column} holds a date that is none, such as 0000-00-00: NULL would be read"
            )

    def _date(self, kind: int, text: str) -> Any:
        value = date_of(kind, text)
        self.has_zero_dates |= isinstance(value, str)  # PyMySQL gives back what is no date
        return value
