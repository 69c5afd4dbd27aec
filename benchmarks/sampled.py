"""uvicorn with a sampling profiler: `python sampled.py RESULT app.main:app ...`, in the environment of the service.

A tick of the process's CPU time looks at the stack; the innermost frame that is not the standard library's says whose
time it was. What is done on behalf of a log record counts as the log's, and the start does not count.
"""

import json
import signal
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from types import FrameType

import uvicorn

sys.path.insert(0, "")  # the service's folder, as uvicorn's own command does

TICK = 0.002  # seconds of CPU time; the kernel rounds it up to its own
STANDARD = sysconfig.get_path("stdlib")
INSTALLED = sysconfig.get_path("purelib")
GROUPS = {
    "uvicorn": "server",
    "uvloop": "server",
    "fastapi": "FastAPI",
    "starlette": "FastAPI",
    "anyio": "FastAPI",
    "pydantic": "FastAPI",
    "sqlalchemy": "SQLAlchemy",
    "databases": "databases",
    "asyncpg": "driver",
    "aiomysql": "driver",
    "pymysql": "driver",
    "prometheus_client": "own code",
}

samples: Counter[str] = Counter()
started = False


def sample(number: int, frame: FrameType | None) -> None:
    global started
    owner = None
    while frame is not None:
        file = frame.f_code.co_filename
        if file.endswith("logging/__init__.py"):
            owner = "access log"
        owner = owner or owner_of(file)
        started = started or file.endswith("uvicorn/server.py")
        frame = frame.f_back  # up to a greenlet's begin, so not always to the server
    if started:
        samples[owner or "server"] += 1


def owner_of(file: str) -> str | None:
    """None for the standard library's, whose time is its caller's."""
    if file.startswith(INSTALLED):
        return GROUPS.get(Path(file).relative_to(INSTALLED).parts[0])
    return None if file.startswith((STANDARD, "<")) or file == __file__ else "own code"


if __name__ == "__main__":
    result = Path(sys.argv.pop(1))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uvicorn raises it again when it has stopped
    signal.signal(signal.SIGPROF, sample)
    signal.setitimer(signal.ITIMER_PROF, TICK, TICK)
    try:
        uvicorn.main(standalone_mode=False)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        result.write_text(json.dumps(samples), "utf-8")
