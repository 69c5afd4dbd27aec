"""What an error says in a log line or in a traceback: never a value of a row, nor of a request.

Drivers, SQLAlchemy and pydantic put the values that they were given into their messages. Of those stays what cannot be
one: the server's code, the names of tables and columns, a type of error for each field. What a team's own code says in
an exception is shown as it stands.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, TextIO

from fastapi.exceptions import ValidationException
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError, StatementError

from app.database import error_codes

_LIBRARIES = frozenset({*error_codes.LIBRARIES, "sqlalchemy", "pydantic", "pydantic_core", "fastapi"})
# From the first quotation mark to the last, since a value may have some in it; and numbers.
_VALUES = re.compile(r"""['"`].*['"`]|\b\d[\w.:+-]*""", re.DOTALL)


def wording(error: BaseException) -> str:
    """What the error says, without values."""
    if isinstance(error, StatementError):
        inner = error.orig
        return _of_sqlalchemy(error) if inner is None else f"{type(inner).__name__}: {wording(inner)}"
    if isinstance(error, SQLAlchemyError):
        return _of_sqlalchemy(error)
    if isinstance(error, ValidationError):
        return _of_validation(error.errors(include_url=False, include_context=False, include_input=False))
    if isinstance(error, ValidationException):
        return _of_validation(error.errors())
    said = error_codes.wording(error)
    if said is None:
        said = without_values(str(error)) if _is_of_a_library(error) else str(error)
    return said


def without_values(text: str) -> str:
    return _VALUES.sub("…", text)


def _of_sqlalchemy(error: SQLAlchemyError) -> str:
    said = without_values(str(error.args[0]) if error.args else "")
    return f"{said} (https://sqlalche.me/e/21/{error.code})" if error.code else said


def _of_validation(errors: Sequence[Any]) -> str:
    """Where, and of what kind; a part of the place that is no name is a key that somebody sent."""
    places = (".".join(str(part) if str(part).isidentifier() else "…" for part in each["loc"]) for each in errors)
    return ", ".join(f"{place}: {each['type']}" for place, each in zip(places, errors, strict=True))


def _is_of_a_library(error: BaseException) -> bool:
    """By its type, or else by who called the standard library's code that raised it."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    outside = (name for name in reversed(modules) if name.partition(".")[0] not in sys.stdlib_module_names)
    raised_in = next(outside, "")
    return any(name.partition(".")[0] in _LIBRARIES for name in (type(error).__module__, raised_in))


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and all that a traceback of it shows."""
    seen: set[int] = set()
    to_come: list[BaseException | None] = [error]
    while to_come:
        each = to_come.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            to_come += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def traceback_of(error: BaseException) -> str:
    """As Python prints it, in our words."""
    return "".join(_lines(error, set())).rstrip("\n")


def _lines(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _lines(before, seen)
        how = "was the direct cause of" if error.__cause__ else "was being handled at the time of"
        yield f"\nThe above exception {how} the following exception:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}: {wording(error)}\n".removeprefix("builtins.")
    yield from (f"{note}\n" for note in getattr(error, "__notes__", ()))
    for number, inner in enumerate(getattr(error, "exceptions", ()), 1):
        if id(inner) not in seen:
            yield f"---- {number} ----\n"
            yield from _lines(inner, seen)


class _Worded:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __str__(self) -> str:
        return wording(self._error)

    def __repr__(self) -> str:
        return f"{type(self._error).__name__}({wording(self._error)!r})"


def quoted(said: Any) -> Any:
    """What is to be logged, with the errors in it in our words."""
    if type(said) is dict:
        return {name: quoted(each) for name, each in said.items()}
    if type(said) in (list, tuple):
        return type(said)(map(quoted, said))
    return _Worded(said) if isinstance(said, BaseException) else said


def worded(record: logging.LogRecord) -> logging.LogRecord:
    """The record, or one like it whose message quotes errors in our words."""
    error = record.exc_info[1] if record.exc_info else None
    given = (record.msg, record.args)
    said = quoted(given)
    if error is None and said == given:
        return record
    record = copy(record)
    record.msg, record.args = said
    message = record.getMessage()
    for each in chain(error) if error else ():  # asyncio's own message has the task, and that the exception
        ours = _Worded(each)
        if str(ours) != (theirs := str(each)):
            message = message.replace(repr(each), repr(ours)).replace(theirs, str(ours))
    record.msg, record.args = message, ()
    return record


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """In place of `warnings.showwarning`: into the log, since drivers make warnings of what the server says of rows."""
    told = category.__module__.partition(".")[0] in error_codes.LIBRARIES
    text = without_values(str(message)) if told else str(message)
    logging.getLogger("py.warnings").warning("%s:%s: %s: %s", filename, lineno, category.__name__, text)
