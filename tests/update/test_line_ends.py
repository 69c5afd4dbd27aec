"""A working tree with the line ends of Windows (core.autocrlf=true) is updated like any other."""

import subprocess
import sys
from pathlib import Path

import pytest
from harness import NAME, ROOT, commit, files, git
from releases import NEXT

from update.conftest import LATER
from update.states import conflicts, scaffold

pytestmark = pytest.mark.slow


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Git as it is installed there by default."""
    config = tmp_path / "gitconfig"
    config.write_text(f"[include]\n\tpath = {ROOT}/tests/gitconfig\n[core]\n\tautocrlf = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))


def cloned(service: Path, target: Path) -> Path:
    git(service.parent, "clone", "--quiet", str(service), str(target))
    return target


def update(service: Path, ref: str) -> None:
    """By the command: within this process Copier's git has the configuration of the tests."""
    command = [sys.executable, "-m", "copier", "update", "--defaults", "--quiet", "--vcs-ref", ref]
    subprocess.run(command, cwd=service, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def test_git_gives_a_service_the_line_ends_of_the_template(later: Path, tmp_path: Path, windows: None) -> None:
    service = cloned(scaffold(later, tmp_path / NAME, {}, NEXT), tmp_path / "clone")
    assert [name for name, text in files(service).items() if "\r" in text] == []
    for name in ("app/main.py", "app/settings.py", "pyproject.toml"):
        (service / name).write_bytes(b"# Ours.\n" + (service / name).read_bytes())
    commit(service, "Ours")
    update(service, LATER)
    assert conflicts(service) == []
    for name in ("app/main.py", "app/settings.py", "pyproject.toml"):
        text = (service / name).read_text()
        assert text.startswith("# Ours.\n")
        assert text.endswith("# A later release.\n")
