"""Runs tests in forks of one process that has loaded all libraries, which takes five times as long as a test.

Run by a service's Python in the service's folder. What to run comes line by line, as JSON: pytest's arguments, where to
write what it prints, and how long it may take. The answer is pytest's exit code, or none for what had no end.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time

OURS = ("app", "dev", "migrations", "tests", "__main__")
LOADED = """
import sys, pytest
pytest.main(["-qq", "--collect-only", "-p", "no:cacheprovider", "tests/template/test_admission.py"])
print("\\n".join(["", "loaded", *sys.modules]))
"""


def load_libraries() -> None:
    """All that the tests load but the service itself, of which each fork gets another one."""
    printed = subprocess.run([sys.executable, "-c", LOADED], check=True, text=True, capture_output=True).stdout
    for name in printed.partition("\nloaded\n")[2].split():
        if name.partition(".")[0] not in OURS:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def run(arguments: list[str], log: str, seconds: float) -> int | None:
    child = os.fork()
    if not child:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = 1
        try:
            code = int(importlib.import_module("pytest").main(arguments))
            sys.stdout.flush()
        finally:
            os._exit(code)
    until = time.monotonic() + seconds
    ended, status = 0, 0
    while not ended and time.monotonic() < until:
        time.sleep(0.02)
        ended, status = os.waitpid(child, os.WNOHANG)
    with contextlib.suppress(ProcessLookupError):  # what a test started and lost, too
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # noqa: PTH109  # the service's folder
    load_libraries()
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)
