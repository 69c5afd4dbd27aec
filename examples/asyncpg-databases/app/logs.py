"""Logs go to standard error: a JSON object a line, with the ids of the request and of its trace, or plain text where a
person looks on. Errors and warnings are in words that hold no value (app/wording.py).
"""

import logging
import sys
import threading
import warnings
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder

from app.request_id import RequestIdFilter
from app.wording import quoted, show_warning, traceback_of, worded

logger = logging.getLogger(__name__)

_OF_EACH = frozenset({*RESERVED_ATTRS, "color_message"})  # the last is the server's
_encode = JsonEncoder().encode
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class JsonLines(logging.Formatter):
    """What a record has beside its message becomes a member; one that is None is left out.

    Written here since each request has its line: JsonFormatter, with options that nothing here uses, costs 7 % of a
    read by key.
    """

    def format(self, record: logging.LogRecord) -> str:
        record = worded(record)
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "name": record.name,
            "message": record.getMessage(),
        }
        if isinstance(record.msg, dict):
            said |= {"message": "", **quoted(record.msg)}
        for name, value in record.__dict__.items():
            if value is not None and name not in _OF_EACH:
                said[name] = quoted(value)
        if record.exc_info and record.exc_info[1]:
            said["exc_info"] = traceback_of(record.exc_info[1])
        if record.stack_info:
            said["stack_info"] = record.stack_info
        return _encode(said)


class PlainLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # as another handler may have printed it
        return super().format(worded(record))

    def formatException(self, ei: Any) -> str:
        return traceback_of(ei[1])


def configure_logging() -> None:
    """Give the root logger our handler, once, and let the server's own loggers use it."""
    root = logging.getLogger()
    if any(isinstance(f, RequestIdFilter) for handler in root.handlers for f in handler.filters):
        return
    handler = logging.StreamHandler()
    handler.addFilter(RequestIdFilter())
    plain = PlainLines("%(levelname)-8s %(name)s  %(message)s  [%(request_id)s]")
    handler.setFormatter(plain if sys.stderr.isatty() else JsonLines())
    warnings.showwarning = show_warning
    log_what_nobody_catches()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.access"):
        of_server = logging.getLogger(name)
        if of_server.handlers:  # none: the server was started with --no-access-log
            of_server.handlers.clear()
            of_server.propagate = True
    # which may import app.settings, and that this module
    from app import extensions

    getattr(extensions, "configure_logging", lambda: None)()
    server = logging.getLogger("uvicorn.access")
    logging.getLogger("app.requests").disabled = not server.propagate
    server.propagate = False  # by which the server sees that it need not write a line of its own


def log_end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """A `sys.excepthook`: what ends the process, in our words. Not for a prompt, which shows errors by that hook."""
    if isinstance(error, Exception):
        logger.critical("The process ends by an error", exc_info=error)
    else:  # Ctrl-C
        sys.__excepthook__(kind, error, traceback)


def _log_end_of_thread(what: threading.ExceptHookArgs) -> None:
    if what.exc_type is not SystemExit:
        logger.error("%s ended by an error", what.thread and what.thread.name, exc_info=what.exc_value)


def _log_unraisable(what: "sys.UnraisableHookArgs") -> None:
    logger.error("An error that could not be raised: %s in %r", what.err_msg, what.object, exc_info=what.exc_value)


def log_what_nobody_catches() -> None:
    """In our words too, where Python would print it; a hook that somebody else has set stays."""
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_end_of_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _log_unraisable


def levels_of(text: str) -> dict[str, str]:
    """Of `INFO,httpx=WARNING`: the levels by the name of their logger, that of all others by "". Raises ValueError."""
    levels = {name.strip(): level.strip().upper() for name, _, level in (p.rpartition("=") for p in text.split(","))}
    if not levels.keys() >= {""} or not set(levels.values()) <= set(_LEVELS):
        raise ValueError(f"give one of {', '.join(_LEVELS)}, and others for single loggers as in INFO,httpx=WARNING")
    return levels


def set_levels(text: str) -> None:
    """Raises ValueError."""
    for name, level in levels_of(text).items():
        logging.getLogger(name).setLevel(level)
