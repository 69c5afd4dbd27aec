"""What docs/updating.md, the messages and the rendered CI tell a team to do, done as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from harness import COMBINATIONS, NAME, ROOT, SEEDS, combination_id, commit, git, is_seed
from releases import NEXT, update

from update.conftest import LATER
from update.states import scaffold

pytestmark = pytest.mark.slow


def test_an_edit_at_the_same_line_is_a_conflict_that_git_names(later: Path, tmp_path: Path) -> None:
    """Copier ends with success: what its messages and the docs tell a team to ask must find the conflict."""
    service = scaffold(later, tmp_path / NAME, {}, NEXT)
    (service / "app" / "main.py").write_text((service / "app" / "main.py").read_text() + "\n# Our end.\n")
    commit(service, "Our own")
    update(service, ref=LATER)
    assert git(service, "diff", "--name-only", "--diff-filter=U").split() == ["app/main.py"]


def test_an_update_is_announced_and_then_there_is_none(later: Path, tmp_path: Path) -> None:
    service = scaffold(later, tmp_path / NAME, {}, NEXT)
    check = [sys.executable, "-m", "copier", "check-update", "--quiet"]
    assert subprocess.run(check, cwd=service, capture_output=True, check=False).returncode == 2
    update(service, ref=LATER)
    commit(service, "Update")
    assert subprocess.run(check, cwd=service, capture_output=True, check=False).returncode == 0


def test_the_messages_of_an_update_say_what_was_chosen_once_and_how_to_find_conflicts(
    later: Path, tmp_path: Path
) -> None:
    service = scaffold(later, tmp_path / NAME, {}, NEXT)
    command = [sys.executable, "-m", "copier", "update", "--skip-answered", "--vcs-ref", LATER]
    done = subprocess.run(command, cwd=service, text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr
    versions = f"Updating to template version {LATER}.", f"is on template version {LATER}."
    for part in (*versions, "chosen once", "git diff --name-only --diff-filter=U", "UPGRADING.md"):
        assert part in done.stderr


def test_the_page_of_a_service_lists_its_seeds() -> None:
    page = (ROOT / "template" / "docs" / "updating.md").read_text("utf-8")
    assert sorted(re.findall(r"^- `/(\S+)`$", page, re.MULTILINE)) == sorted(SEEDS)


def test_drift_from_the_template_is_the_teams_edits_and_nothing_else(versioned: Path, tmp_path: Path) -> None:
    """The recipe of docs/updating.md, as it stands there."""
    service = scaffold(versioned, tmp_path / NAME, {}, NEXT)
    main = service / "app" / "main.py"
    main.write_text(main.read_text().replace("title=SERVICE_NAME,", 'title="Orders",'))
    (service / "README.md").write_text("# Ours\n")
    (service / "app" / "orders.py").write_text("# Ours\n")
    commit(service, "Our own")
    page = (service / "docs" / "updating.md").read_text()
    (recipe,) = re.findall(r"```sh\n(git clone.*?)```", page, re.DOTALL)
    command(tmp_path / "bin" / "uvx", f'shift; exec "{sys.executable}" -m copier "$@"')  # this one, not a download
    variables = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    shell = ["sh", "-euc", recipe]
    done = subprocess.run(shell, cwd=service, env=variables, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    changed = [line for line in done.stdout.splitlines() if re.match(r"[-+](?![-+])", line)]
    assert changed == ["-        title=SERVICE_NAME,", '+        title="Orders",'], done.stdout
    assert (service / "README.md").read_text() == "# Ours\n"


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_the_format_that_a_team_goes_back_to_is_the_templates_own(
    versioned: Path, tmp_path: Path, combination: dict[str, str]
) -> None:
    """By the recipe of docs/updating.md, as it stands there; but for the seeds, which are the team's."""
    service = scaffold(versioned, tmp_path / NAME, combination, NEXT)
    page = (service / "docs" / "updating.md").read_text()
    (recipe,) = re.findall(r"```sh\n(uv run ruff format.*?)git commit", page, re.DOTALL)
    command(tmp_path / "bin" / "uv", f'shift; exec "{sys.executable}" -m "$@"')
    variables = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    for length in (79, 88, 100, 120, 140):
        for of_team in (["check", "--fix-only"], ["format"]):
            ruff = [sys.executable, "-m", "ruff", *of_team, "--quiet", f"--line-length={length}", "."]
            subprocess.run(ruff, cwd=service, check=True)
        done = subprocess.run(
            ["sh", "-euc", recipe], cwd=service, env=variables, text=True, capture_output=True, check=False
        )
        assert (done.returncode, "warning" in done.stderr) == (0, False), done.stderr
        changed = git(service, "diff", "--name-only").splitlines()
        assert [path for path in changed if not is_seed(path)] == [], f"from {length} columns"


@pytest.mark.parametrize(
    ("known", "opened"),
    [("false", ["Template release 10000.0.0"]), ("true", [])],
    ids=["not yet said", "said before"],
)
def test_the_weekly_check_opens_an_issue_for_a_release_unless_there_is_one(
    later: Path, tmp_path: Path, known: str, opened: list[str]
) -> None:
    """The script of the workflow; `gh`, which needs GitHub, is stood in for by one that writes down what it is told."""
    service = scaffold(later, tmp_path / NAME, {}, NEXT)
    set_source(service, f"git+file://{later}")
    script = weekly_check(service)
    command(tmp_path / "bin" / "uvx", f'shift; exec "{sys.executable}" -m copier "$@"')
    command(tmp_path / "bin" / "gh", f'[ $2 = list ] && echo {known} || echo "$4" >> {tmp_path}/opened')
    variables = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "RUNNER_TEMP": str(tmp_path)}
    for _ in range(2):
        subprocess.run(["bash", "-ec", script], cwd=service, env=variables, check=True, capture_output=True)
        if known == "true":
            assert not (tmp_path / "opened").exists()
    if opened:
        assert (tmp_path / "opened").read_text().splitlines() == opened * 2
        update(service, ref=LATER)
        commit(service, "Update")
        subprocess.run(["bash", "-ec", script], cwd=service, env=variables, check=True, capture_output=True)
        assert (tmp_path / "opened").read_text().splitlines() == opened * 2


@pytest.mark.parametrize("source", ["/home/ada/template", "~/template", "../template"])
def test_the_weekly_check_says_that_ci_cannot_reach_a_template_on_one_machine(
    later: Path, tmp_path: Path, source: str
) -> None:
    """As a service has it whose team has scaffolded from a clone: not a failure each Monday."""
    service = scaffold(later, tmp_path / NAME, {}, NEXT)
    set_source(service, source)
    shell = ["bash", "-ec", weekly_check(service)]
    done = subprocess.run(shell, cwd=service, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("::notice::Not checked: _src_path in .copier-answers.yml is a path of one machine")


def set_source(service: Path, source: str) -> None:
    answers = service / ".copier-answers.yml"
    answers.write_text(re.sub(r"^_src_path: .*$", f"_src_path: {source}", answers.read_text(), flags=re.MULTILINE))
    commit(service, "Another address")


def weekly_check(service: Path) -> str:
    """The script of the workflow."""
    workflow = yaml.safe_load((service / ".github" / "workflows" / "template.yml").read_text())
    (script,) = [step["run"] for step in workflow["jobs"]["release"]["steps"] if "run" in step]
    return str(script)


def command(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
