"""`make demo`, as its user runs it: in a clone, on a real server, to its end, with nothing left running."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness import ROOT

pytestmark = pytest.mark.slow


def processes_of(folder: str) -> list[str]:
    """The command lines of processes that run in a folder or name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            if folder in command or folder in str((process / "cwd").readlink()):
                found.append(command)
        except OSError:
            continue  # it ended, or belongs to someone else
    return found


def demo(clone: Path, tmp_path: Path, *arguments: str, target: str = "demo") -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["make", target, *arguments],
        cwd=clone,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@pytest.mark.parametrize(("driver", "access"), [("asyncpg", "orm"), ("aiomysql", "databases")])
def test_the_demo_shows_the_patterns_and_ends_with_everything_stopped(
    versioned: Path, tmp_path: Path, driver: str, access: str
) -> None:
    with demo(versioned, tmp_path, f"driver={driver}", f"access={access}") as running:
        printed, _ = running.communicate(timeout=300)
    assert running.returncode == 0, printed
    for expected in ("201 Created  Location: ", "409 Conflict", "404 Not Found", "204 No Content", "next_cursor"):
        assert expected in printed
    (service,) = tmp_path.glob("fastapi-demo-*/orders-api")
    assert f"cd {service}" in printed
    assert "Warning" not in printed
    assert processes_of(str(service)) == []


def test_the_demo_of_an_update_shows_what_came_and_what_stayed(tmp_path: Path) -> None:
    with demo(ROOT, tmp_path, "driver=asyncpg", "access=databases", target="update-demo") as running:
        printed, _ = running.communicate(timeout=1800)
    assert running.returncode == 0, printed
    for expected in ("No conflicts", "in none of the team's own", "app/settings.py", " passed", "git show --stat"):
        assert expected in printed
    (service,) = tmp_path.glob("fastapi-update-demo-*/orders-api")
    until = time.monotonic() + 30
    while left := processes_of(str(service)):  # the tests' fork server sees a moment later that they have ended
        assert time.monotonic() < until, left
        time.sleep(0.1)


def test_the_kept_demo_serves_until_it_is_interrupted(versioned: Path, tmp_path: Path) -> None:
    with demo(versioned, tmp_path, "keep=1") as running:
        assert running.stdout
        printed = []
        for line in running.stdout:
            printed.append(line)
            if "until Ctrl-C" in line:
                (service,) = tmp_path.glob("fastapi-demo-*/orders-api")
                assert processes_of(str(service)) != []
                os.killpg(running.pid, signal.SIGINT)  # what a terminal does
        assert running.wait(60) in (0, 2, 130, -signal.SIGINT)
    assert "Everything is stopped" in "".join(printed)
    assert processes_of(str(service)) == []


def test_a_driver_that_does_not_exist_is_answered_with_those_that_do(versioned: Path, tmp_path: Path) -> None:
    with demo(versioned, tmp_path, "driver=sqlite") as running:
        printed, _ = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "invalid choice: 'sqlite' (choose from" in printed
