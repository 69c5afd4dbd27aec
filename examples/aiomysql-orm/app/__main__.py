"""`python -m app` serves: uvicorn's own command with defaults for production, which its options and UVICORN_* replace.

Ends with 3 when the service cannot start, with several workers too: uvicorn's supervisor stops then, but ends with 0.
"""

import os
import signal
import sys
from importlib import import_module
from typing import Any

import uvicorn
from pythonjsonlogger.core import RESERVED_ATTRS
from uvicorn.config import LOGGING_CONFIG
from uvicorn.supervisors import Multiprocess

FAILED_START = 3  # uvicorn's own status of a worker, or of the process where there is only one


def workers_of(number: str) -> int:
    try:
        return int(number)
    except ValueError:  # refused by the settings, in their words
        return 1


DEFAULTS: dict[str, Any] = {
    "app": "app.main:app",
    "workers": workers_of(os.environ.get("WEB_CONCURRENCY", "")),
    # For requests in flight after SIGTERM. Whoever stops the process allows more: Kubernetes 30 seconds.
    "timeout_graceful_shutdown": 20,
    # Longer than a proxy keeps an idle connection, else it may send a request into one that is closed: docs/running.md.
    "timeout_keep_alive": 75,
}


# What a supervisor says, and a worker until the service's handler is there (app/logs.py). That one takes seconds to
# import, in which a worker would not answer its supervisor, which kills it after five.
JSON_LINES: dict[str, Any] = {
    "()": "pythonjsonlogger.json.JsonFormatter",
    "fmt": "%(levelname)s %(name)s %(message)s",
    "rename_fields": {"levelname": "level"},
    "timestamp": "time",
    "reserved_attrs": [*RESERVED_ATTRS, "color_message"],
}


class Supervisor(Multiprocess):
    def run(self) -> None:
        os.environ["WEB_CONCURRENCY"] = str(self.config.workers)  # for the workers' settings, if it was an option
        super().run()
        if any(process.exitcode == FAILED_START for process in self.processes):
            sys.exit(FAILED_START)

    def join_all(self) -> None:
        """A signal that comes while the workers stop is passed on to them: docs/scaling.md."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self.terminate_all())
        if {signal.SIGTERM, signal.SIGINT} & {*self.signal_queue}:  # since the first one was looked at
            self.terminate_all()
        super().join_all()


def main() -> None:
    if not sys.stderr.isatty():
        LOGGING_CONFIG["formatters"]["default"] = JSON_LINES
    # It has no option for that, nor a status: https://github.com/Kludex/uvicorn/pull/3001
    import_module("uvicorn.main").Multiprocess = Supervisor  # type: ignore[attr-defined]
    uvicorn.main.main(prog_name="python -m app", default_map=DEFAULTS)


if __name__ == "__main__":  # each worker imports this module too
    main()
