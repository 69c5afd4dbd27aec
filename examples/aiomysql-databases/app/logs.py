"""Logs go to standard error: a JSON object a line, with the ids of the request and of its trace, or plain text where a
person looks on. Errors and warnings are in words that hold no value (app/wording.py).
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS, LogData
from pythonjsonlogger.json import JsonFormatter

from app.request_id import RequestIdFilter
from app.wording import capture_warnings, traceback_of, worded

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class JsonLines(JsonFormatter):
    """What a record has beside its message becomes a member; one that is None is left out."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(worded(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")

    def formatException(self, ei: Any) -> str:
        return traceback_of(ei[1])

    def process_log_record(self, log_data: LogData) -> LogData:
        return {name: value for name, value in log_data.items() if value is not None}


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
    fields = "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s %(trace_id)s"
    if sys.stderr.isatty():
        handler.setFormatter(PlainLines("%(levelname)-8s %(name)s  %(message)s  [%(request_id)s]"))
    else:
        names = {"levelname": "level", "asctime": "time"}
        handler.setFormatter(
            JsonLines(fields, rename_fields=names, reserved_attrs=[*RESERVED_ATTRS, "color_message"])  # the server's
        )
    capture_warnings()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.access"):
        logger = logging.getLogger(name)
        if logger.handlers:  # none: the server was started with --no-access-log
            logger.handlers.clear()
            logger.propagate = True
    from app import extensions  # which may import app.settings, and that this module

    getattr(extensions, "configure_logging", lambda: None)()
    server = logging.getLogger("uvicorn.access")
    logging.getLogger("app.requests").disabled = not server.propagate
    server.propagate = False  # by which the server sees that it need not write a line of its own


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
