"""The commands of docs/updating.md, run as they stand there in services that a team has edited, do what it says."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import NAME, ROOT, commit, files, git, is_seed
from releases import NEXT, Release, update
from services import tail

from update.conftest import LATER
from update.edits import edit, work_for_months
from update.states import Change, changes, conflicts, owned, scaffold, seeds

pytestmark = pytest.mark.slow

PAGE = (ROOT / "template" / "docs" / "updating.md").read_text("utf-8")
Rendering = Callable[..., Path]


def commands(beginning: str) -> str:
    """The block of commands that begins so."""
    (block,) = re.findall(rf"^```sh\n({beginning}.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(block)


def in_text(beginning: str) -> str:
    """The command between backticks that begins so."""
    (command,) = re.findall(rf"`({beginning}[^`]*)`", PAGE)
    return str(command)


def run(commands: str, service: Path) -> str:
    """What they print. The test fails with the first that fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input=commands,
        cwd=service,
        env={**os.environ, "GIT_PAGER": "cat"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, tail(done.stderr)
    return done.stdout


def lines_of(diff: str) -> dict[str, Counter[Change]]:
    """A diff of git's, in the form of `changes`."""
    found: dict[str, Counter[Change]] = {}
    for part in re.split(r"^diff --git ", diff, flags=re.MULTILINE)[1:]:
        name = part.partition(" ")[0].removeprefix("b/")
        body = part[part.index("\n@@") :]
        found[name] = Counter((sign, line) for sign, line in re.findall(r"^([-+])(.*)$", body, re.MULTILINE) if line)
    return found


def test_a_team_updates_by_the_page_and_then_sees_its_own_edits_and_nothing_else(
    oldest: Release, versioned: Path, rendering: Rendering, tmp_path: Path
) -> None:
    service = scaffold(versioned, tmp_path / NAME, {}, str(oldest))
    work_for_months(service, "orm", "renaming")
    (service / "Dockerfile").unlink()
    commit(service, "The work of months")

    asking, _, _ = commands("uvx copier update").partition("uv sync\n")  # the rest: test_at_work.py
    assert run(asking, service) == "", "no file has a conflict"
    commit(service, "Update")

    shown = run(commands("git clone"), service)
    template = owned(rendering({}))
    edits = changes(template, {name: text for name, text in owned(service).items() if name in template})
    assert lines_of(shown) == edits
    assert seeds(tmp_path / "drift") == seeds(service)


def test_a_conflict_is_found_solved_and_given_up_as_the_page_says(later: Path, tmp_path: Path) -> None:
    service = scaffold(later, tmp_path / NAME, {}, NEXT)
    main = service / "app" / "main.py"
    main.write_text(main.read_text() + "\n# Ours.\n")
    commit(service, "Ours")
    asking, _, _ = commands("uvx copier update").partition("uv sync\n")
    assert run(asking, service) == "app/main.py\n"
    for marker in (in_text("<{7} "), in_text(">{7} ")):
        assert f"{marker}\n" in main.read_text()
    check = in_text("git diff --check")
    assert subprocess.run(check.split(), cwd=service, capture_output=True, check=False).returncode != 0

    main.write_text(re.sub(r"^(<{7}|={7}|>{7}).*\n", "", main.read_text(), flags=re.MULTILINE))
    assert run(f"{check}\ngit add app/main.py\ngit diff --name-only --diff-filter=U", service) == ""

    commit(service, "Update")
    git(service, "reset", "--quiet", "--hard", "HEAD~1")
    update(service, ref=LATER)
    assert conflicts(service) != []
    run(in_text("git restore"), service)
    assert git(service, "status", "--porcelain") == ""
    assert main.read_text().endswith("# Ours.\n")


@pytest.mark.parametrize("width", [88, 100])
def test_a_line_length_of_the_teams_own_conflicts_with_nothing_as_the_page_says(
    oldest: Release, versioned: Path, rendering: Rendering, tmp_path: Path, width: int
) -> None:
    service = scaffold(versioned, tmp_path / NAME, {}, str(oldest))
    edit(service, "ruff.toml", "line-length = 120", f"line-length = {width}")
    ruff = f"{sys.executable} -m ruff"
    run(f"{ruff} format -q .", service)
    commit(service, "Format")

    run(commands("uv run ruff").replace("uv run ruff", ruff), service)
    update(service)
    assert conflicts(service) == []
    run(f"{ruff} format -q .", service)

    def meaning(texts: dict[str, str]) -> dict[str, str]:
        python = {name: text for name, text in texts.items() if name.endswith(".py") and not is_seed(name)}
        return {name: ast.dump(ast.parse(text)) for name, text in python.items()}

    assert meaning(files(service)) == meaning(files(rendering({})))
    assert f"line-length = {width}\n" in (service / "ruff.toml").read_text()
