"""Logs go to standard error: a JSON object a line, with the request's id, or plain text where a person looks on."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

from app import extensions
from app.request_id import RequestIdFilter


def configure_logging() -> None:
    """Give the root logger our handler, once, and let the server's own loggers use it."""
    root = logging.getLogger()
    if any(isinstance(f, RequestIdFilter) for handler in root.handlers for f in handler.filters):
        return
    handler = logging.StreamHandler()
    handler.addFilter(RequestIdFilter())
    fields = "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s"
    if sys.stderr.isatty():
        handler.setFormatter(logging.Formatter("%(levelname)-8s %(name)s  %(message)s  [%(request_id)s]"))
    else:
        handler.setFormatter(JsonFormatter(fields, rename_fields={"levelname": "level", "asctime": "time"}))
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.access"):
        logger = logging.getLogger(name)
        if logger.handlers:  # none: the server was started with --no-access-log
            logger.handlers.clear()
            logger.propagate = True
    getattr(extensions, "configure_logging", lambda: None)()
