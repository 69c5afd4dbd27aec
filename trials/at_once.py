"""Processes side by side, each of which says what it finds in lines of JSON. Ctrl-C ends them all, with the servers
that they have started; one that fails lets the others go on.
"""

import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from typing import Any


def found_by(commands: Sequence[Sequence[str]], at_once: int) -> Iterator[dict[str, Any]]:
    """The lines of all commands as they come, `at_once` of which run at a time. Raises SystemExit at the end when some
    of them failed.
    """
    waiting = list(commands)
    lines: queue.Queue[str | None] = queue.Queue()
    running: list[subprocess.Popen[str]] = []

    def read(process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for printed in process.stdout:
            lines.put(printed)
        lines.put(None)

    def start() -> None:
        process = subprocess.Popen(waiting.pop(0), stdout=subprocess.PIPE, text=True, start_new_session=True)
        running.append(process)
        threading.Thread(target=read, args=(process,), daemon=True).start()

    ended = 0
    try:
        for _ in range(min(at_once, len(waiting))):
            start()
        while ended < len(running):
            printed = lines.get()
            if printed is not None:
                yield json.loads(printed)
                continue
            ended += 1
            if waiting:
                start()
        if failed := [process for process in running if process.wait()]:
            raise SystemExit(f"{len(failed)} of {len(running)} processes ended with an error: see above")
    finally:
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in running:
            process.wait()
