"""scripts/with-tools prepares a fresh machine, uses what is there, and says in one sentence what it cannot do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import ROOT
from services import Service

PYTHONS = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
BASE = ("sh", "env", "id", "dirname", "basename", "ls", "rm", "mkdir", "ln", "cat", "make")


def with_tools(
    *arguments: str, root: Path = ROOT, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(root / "scripts" / "with-tools"), *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with a shell's basic commands and no more: no Python, uv, server or package manager."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in BASE:
        (folder / name).symlink_to(str(shutil.which(name)))
    return str(folder)


@pytest.fixture(scope="module")
def python_with_venv() -> str:
    """Not each has it: on Debian it is in a package of its own. Without one there is nothing to try."""
    for python in filter(None, (sys.executable, os.environ.get("UV_PYTHON"), *map(shutil.which, PYTHONS))):
        real = os.path.realpath(python)
        asked = [real, "-c", "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"]
        if subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return real
    pytest.skip("no Python on this machine has the venv module")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that has the script and nothing else, for what it writes beside itself."""
    (tmp_path / "checkout" / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "with-tools", tmp_path / "checkout" / "scripts")
    return tmp_path / "checkout"


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.rstrip().splitlines()[-1]


def test_the_status_of_the_command_is_passed_on() -> None:
    assert with_tools("--", "sh", "-c", "exit 7").returncode == 7


def test_the_command_runs_in_the_checkout_with_uv_at_hand(tmp_path: Path) -> None:
    done = with_tools("--", "sh", "-c", "uv --version && pwd", cwd=tmp_path)
    assert done.stdout.splitlines()[1:] == [str(ROOT)]


def test_no_python_is_downloaded_behind_the_users_back() -> None:
    assert with_tools("--", "sh", "-c", "echo $UV_PYTHON_DOWNLOADS").stdout == "never\n"


def test_a_relative_mysqld_is_made_absolute_at_once(tmp_path: Path) -> None:
    (tmp_path / "mysqld").write_text("#!/bin/sh\n")
    (tmp_path / "mysqld").chmod(0o755)
    done = with_tools("--", "sh", "-c", "echo $MYSQLD", cwd=tmp_path, MYSQLD="./mysqld")
    assert done.stdout == f"{tmp_path}/mysqld\n"


def test_a_mysqld_that_is_no_program_is_said() -> None:
    done = with_tools("--", "true", MYSQLD="/nowhere/mysqld")
    assert done.returncode == 1
    assert last_line(done) == "error: MYSQLD names no program that can be run: give the path of a mysqld"


def test_a_machine_without_python_is_told_which_to_install(bare_path: str, tmp_path: Path) -> None:
    done = with_tools("--", "true", PATH=bare_path, HOME=str(tmp_path), PYENV_ROOT=str(tmp_path))
    assert done.returncode == 1
    if not any(Path(folder, "python3").exists() for folder in ("/usr/local/sbin", "/usr/sbin", "/sbin")):
        assert last_line(done).startswith("error: Python 3.11 or later is missing: install it")


def test_a_tool_that_it_does_not_know_is_said() -> None:
    assert last_line(with_tools("oracle", "--", "true")).startswith("error: scripts/with-tools knows no tool oracle")


def test_without_a_known_package_manager_one_sentence_says_what_to_install(bare_path: str, checkout: Path) -> None:
    (Path(bare_path) / "python3").symlink_to(Service(checkout).python)
    (Path(bare_path) / "uv").symlink_to(str(shutil.which("uv")))
    script = checkout / "scripts" / "with-tools"
    # The folders of system programs, which the script looks into for servers, would have them on this machine.
    script.write_text(script.read_text().replace(":/usr/local/sbin:/usr/sbin:/sbin", ""))
    for tool in ("faketime", "mariadbd", "mysqld", "pgbouncer", "prometheus"):
        done = with_tools(tool, "--", "true", root=checkout, PATH=bare_path, MYSQLD="")
        assert done.returncode == 1
        assert "is missing: install it with this system's package manager" in last_line(done)


@pytest.mark.slow
def test_uv_is_installed_beside_the_checkout_where_there_is_none_and_then_kept(
    bare_path: str, checkout: Path, python_with_venv: str
) -> None:
    (Path(bare_path) / "python3").symlink_to(python_with_venv)
    done = with_tools("--", "uv", "--version", root=checkout, PATH=bare_path)
    assert done.returncode == 0, done.stderr
    assert (checkout / ".tools" / "bin" / "uvx").exists()
    again = with_tools("--", "uv", "--version", root=checkout, PATH=bare_path)
    assert again.stdout == done.stdout
    assert "Installing" not in again.stderr


@pytest.mark.slow
def test_a_python_without_venv_is_of_use_where_another_one_has_it(
    bare_path: str, checkout: Path, python_with_venv: str
) -> None:
    newest, usual = Path(bare_path) / "python3.15", Path(bare_path) / "python3"
    newest.write_text('#!/bin/sh\ncase "$*" in *venv*) exit 1 ;; *) echo "$0" ;; esac\n')  # of a package of its own
    newest.chmod(0o755)
    usual.write_text(f'#!/bin/sh\nexec "{python_with_venv}" "$@"\n')
    usual.chmod(0o755)
    done = with_tools("--", "sh", "-c", "echo $UV_PYTHON", root=checkout, cwd=checkout, PATH=bare_path, UV_PYTHON="")
    assert done.stdout == f"{newest}\n", done.stderr
    assert (checkout / ".tools" / "bin" / "uv").exists()
