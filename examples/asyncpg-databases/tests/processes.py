"""The service's processes as an operator starts them: `python -m uvicorn ...`, `python -m alembic ...`.

They are forked from one that has imported the service already, which otherwise takes longer than all that they do.
"""

import multiprocessing
import os
import re
import runpy
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path

from pydantic import AliasChoices

from app import extensions
from app.setting_types import variable_of
from app.settings import Settings

_forkserver = multiprocessing.get_context("forkserver")
_forkserver.set_forkserver_preload(["app.main", "uvicorn.main", "uvloop", "httptools", "alembic.config", "pytest"])


def prepare() -> None:
    """Let the importing begin. For the top of a test module: then it is done while other tests run."""
    forkserver.ensure_running()


class Process:
    """`python -m <command>` in `folder`, with this environment and what the team's settings need; it is killed at the
    end of the block.
    """

    def __init__(self, *command: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._log = folder / f"{command[0]}-{time.monotonic_ns()}.log"
        given = of_the_team() | dict(environment)
        self._process = _forkserver.Process(target=_run, args=(command, folder, given, self._log))

    def __enter__(self) -> "Process":
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.pid
        self._process.kill()
        with suppress(ProcessLookupError):  # its workers, if it has not ended them
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.join()
        self._process.close()

    @property
    def output(self) -> str:
        """What it wrote so far, to standard output and to standard error."""
        return self._log.read_text() if self._log.exists() else ""

    def says(self, pattern: str) -> re.Match[str]:
        """Wait until it says something that matches."""
        for _ in range(9000):
            if found := re.search(pattern, self.output):
                return found
            if not self._process.is_alive():
                break
            time.sleep(0.01)
        raise AssertionError(f"it never said {pattern}:\n{self.output}")

    def terminate(self) -> None:
        """Send SIGTERM, as every supervisor does."""
        self._process.terminate()

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def exit_code(self) -> int:
        """Wait for its end; negative: the signal that ended it."""
        self._process.join(90)
        assert self._process.exitcode is not None, f"it is still running:\n{self.output}"
        return self._process.exitcode

    def has_left_nothing(self) -> bool:
        """Whether all that it started has ended too, or does so shortly; for after its own end."""
        assert self._process.pid
        for _ in range(3000):
            try:
                os.killpg(self._process.pid, 0)
            except ProcessLookupError:
                return True
            time.sleep(0.01)
        return False


def of_the_team() -> dict[str, str]:
    """What the environment has of the team's own settings: those without a default have to be there."""
    kind: type[Settings] = getattr(extensions, "Settings", Settings)
    names = set()
    for name in kind.model_fields.keys() - Settings.model_fields.keys():
        alias = kind.model_fields[name].validation_alias
        for choice in alias.choices if isinstance(alias, AliasChoices) else [alias or name]:
            names.add(variable_of(kind, [str(choice)]))
    return {name: value for name, value in os.environ.items() if name.upper().startswith(tuple(names))}


def _run(command: tuple[str, ...], folder: Path, environment: dict[str, str], log: Path) -> None:
    with log.open("w") as file, Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdin = os.fdopen(0)  # multiprocessing has put another in its place, which uvicorn's workers cannot inherit
    os.setsid()  # a group of its own, so that workers do not outlive a test that fails
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path.insert(0, str(folder))  # as `python -m` does; what it spawns gets the same
    sys.argv = list(command)
    # Of the team: checks that may not be met in a test, and what would not be in the log, or beside what is.
    vars(extensions).update(readiness_checks=[], configure_logging=lambda: None)
    runpy.run_module(command[0], run_name="__main__")


def port_of(process: Process) -> int:
    """Where its server listens, once it says so."""
    return int(process.says(r"running on http://127\.0\.0\.1:(\d+)")[1])
