"""What services rely on: the questions, their values and the paths of older releases, and what an update says and does.

A change that breaks one of these has to be told in UPGRADING.md, under the heading of the release that brings it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from harness import COMBINATIONS, NAME, QUESTIONS, ROOT, SEEDS, combination_id, commit, files, git, is_seed, render
from releases import NEXT, MissingRelease, Release, releases, supported, update

from update.conftest import LATER
from update.states import conflicts, owned, scaffold, seeds

pytestmark = pytest.mark.slow

UPGRADING = (ROOT / "UPGRADING.md").read_text("utf-8")


def told_since(release: Release) -> str:
    """The sections of UPGRADING.md about releases after this one."""
    return UPGRADING.partition(f"\n## {release.version}")[0]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_no_path_vanishes_with_the_edits_that_are_in_it_unless_the_upgrade_notes_name_it(
    release: Release, versioned: Path, tmp_path: Path, combination: dict[str, str]
) -> None:
    old = files(render(versioned, tmp_path / "old" / NAME, combination, str(release)))
    new = files(render(versioned, tmp_path / "new" / NAME, combination, NEXT))
    gone = [name for name in old.keys() - new.keys() if not is_seed(name)]
    assert [name for name in gone if f"`{name}`" not in told_since(release)] == []


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_each_change_of_a_seed_is_told_for_it_reaches_no_service_that_exists(
    release: Release, versioned: Path, tmp_path: Path, combination: dict[str, str]
) -> None:
    old = seeds(render(versioned, tmp_path / "old" / NAME, combination, str(release)))
    new = seeds(render(versioned, tmp_path / "new" / NAME, combination, NEXT))
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    assert sorted(name for name in changed if f"`{name}`" not in told_since(release)) == []


def test_questions_and_values_of_older_releases_still_exist(release: Release, versioned: Path) -> None:
    old = yaml.safe_load(git(versioned, "show", f"{release}:copier.yml"))
    for name, question in old.items():
        if name.startswith("_"):
            continue
        assert name in QUESTIONS, f"{name} was removed or renamed since {release}"
        assert QUESTIONS[name]["type"] == question["type"]
        for value in dict(question.get("choices", {})).values():
            assert value in QUESTIONS[name]["choices"].values(), f"{name}={value} of {release} would become the default"
    without_default = [name for name in QUESTIONS.keys() - old.keys() if "default" not in QUESTIONS[name]]
    assert without_default == [], "an update could not answer these by itself"


def test_every_release_has_its_sections_in_the_changelog_and_the_upgrade_notes() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    for release in releases():
        assert re.search(rf"^## {re.escape(str(release.version))} - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
        assert f"\n## {release.version}\n" in UPGRADING


def test_a_history_without_a_release_says_so_in_one_sentence(versioned: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", versioned.as_uri(), str(shallow))
    with pytest.raises(MissingRelease, match=r"^This clone is shallow .*: run git fetch --unshallow$"):
        releases(shallow)
    (empty := tmp_path / "empty").mkdir()
    commit_of = empty / "file"
    commit_of.write_text("")
    commit(empty, "Release notes v0.1.0")
    with pytest.raises(MissingRelease, match=r"^No commit of this history has the subject Release v0\.1\.0: "):
        supported(empty)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_an_update_never_touches_restores_or_adds_to_what_is_the_teams(
    later: Path, tmp_path: Path, combination: dict[str, str]
) -> None:
    service = scaffold(later, tmp_path / NAME, {**combination}, NEXT)
    (service / "app" / "models.py").write_text('"""Ours."""\n')
    (service / "app" / "notes" / "routes.py").unlink()
    (service / "tests" / "test_notes.py").unlink()
    commit(service, "Our own")
    before = seeds(service)
    update(service, ref=LATER)
    assert seeds(service) == before
    assert conflicts(service) == []
    assert owned(service) == owned(render(later, tmp_path / "fresh" / NAME, combination, LATER))


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
    for part in ("chosen once", LATER, "git diff --name-only --diff-filter=U", "UPGRADING.md"):
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
    workflow = yaml.safe_load((service / ".github" / "workflows" / "template.yml").read_text())
    (script,) = [step["run"] for step in workflow["jobs"]["release"]["steps"] if "run" in step]
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


def command(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
