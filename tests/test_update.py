"""`copier update` brings what the template owns into a service that its team has edited, and leaves the team's files.

From each of the last releases to the working tree, and from the working tree to an invented release that changes every
file of the template: so the rules for the team's files are tested before they are needed.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from copier import run_update
from harness import (
    COMBINATIONS,
    NAME,
    NEXT,
    QUESTIONS,
    ROOT,
    answers_of,
    clone_with_working_tree,
    combination_id,
    commit,
    files,
    git,
    render,
    update,
)
from packaging.version import Version

pytestmark = pytest.mark.slow

TAGS = sorted(git(ROOT, "tag", "--list", "v*").split(), key=Version)[-3:]
RELEASES: list[Any] = TAGS or [pytest.param("", marks=pytest.mark.skip(reason="no release is tagged yet"))]
LATER = "v10000.0.0"
SEEDS = (
    "README.md",
    "app/developers/",
    "app/extensions.py",
    "app/models.py",
    "app/notes/",
    "migrations/versions/",
    "tests/test_developers",
    "tests/test_notes",
)
REMOVED: dict[str, str] = {}
"""A path that the template no longer renders -> the heading of UPGRADING.md that says what to do."""

EXTREMES = {"pool_size": 1000, "max_overflow": 0, "pool_timeout": 3600.0, "pool_recycle": 86400, "pool_pre_ping": False}


@pytest.fixture(scope="session")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with one more release, in which every file has changed and every seed folder has a new file."""
    template = clone_with_working_tree(tmp_path_factory.mktemp("later") / "template")
    for path in (template / "template").rglob("*"):
        if path.name.removesuffix(".jinja").endswith((".py", ".toml", "Makefile", "README.md")):
            path.write_text(path.read_text("utf-8") + "\n# A later release.\n", "utf-8")
    for folder in ("app/developers", "app/notes", "migrations/versions"):
        (template / "template" / folder / "later.py").write_text("# A later release.\n")
    commit(template, "A later release")
    git(template, "tag", "--force", "--annotate", "--message", LATER, LATER)
    return template


def scaffold(template: Path, target: Path, answers: dict[str, object], tag: str) -> Path:
    render(template, target, answers, ref=tag)
    commit(target, "Scaffold")
    return target


def owned(service: Path) -> dict[str, str]:
    """What the template owns, without the line that names its version."""
    texts = {name: text for name, text in files(service).items() if not name.startswith(SEEDS)}
    lines = texts[".copier-answers.yml"].splitlines()
    texts[".copier-answers.yml"] = "\n".join(line for line in lines if not line.startswith("_commit"))
    return texts


def seeds(service: Path) -> dict[str, str]:
    return {name: text for name, text in files(service).items() if name.startswith(SEEDS)}


def conflicts(service: Path) -> list[str]:
    left = [path.name for path in service.rglob("*.rej")]
    return left + git(service, "diff", "--name-only", "--diff-filter=U").split()


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
@pytest.mark.parametrize("tag", RELEASES)
def test_an_untouched_service_becomes_a_fresh_render(
    versioned: Path, tmp_path: Path, combination: dict[str, str], tag: str
) -> None:
    service = scaffold(versioned, tmp_path / NAME, {**combination}, tag)
    before = seeds(service)
    update(service)
    assert conflicts(service) == []
    assert owned(service) == owned(render(versioned, tmp_path / "fresh" / NAME, combination, ref=NEXT))
    assert seeds(service) == before


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
@pytest.mark.parametrize("tag", RELEASES)
def test_no_path_vanishes_with_the_edits_that_are_in_it(
    versioned: Path, tmp_path: Path, combination: dict[str, str], tag: str
) -> None:
    old = files(render(versioned, tmp_path / "old", combination, ref=tag))
    new = files(render(versioned, tmp_path / "new", combination, ref=NEXT))
    assert {name for name in old.keys() - new.keys() if not name.startswith(SEEDS)} <= REMOVED.keys()


@pytest.mark.parametrize("tag", RELEASES)
def test_recorded_answers_stay_valid(versioned: Path, tag: str) -> None:
    old = yaml.safe_load(git(versioned, "show", f"{tag}:copier.yml"))
    for name, question in old.items():
        if name.startswith("_"):
            continue
        assert name in QUESTIONS, f"{name} was removed or renamed since {tag}"
        for value in dict(question.get("choices", {})).values():
            assert value in QUESTIONS[name]["choices"].values(), f"{name}={value} of {tag} would become the default"
    assert [name for name in QUESTIONS.keys() - old.keys() if "default" not in QUESTIONS[name]] == []


@pytest.mark.parametrize("tag", [*TAGS, NEXT])
def test_recorded_answers_are_kept(versioned: Path, later: Path, tmp_path: Path, tag: str) -> None:
    service = scaffold(versioned if tag != NEXT else later, tmp_path / NAME, {**EXTREMES}, tag)
    run_update(service, defaults=True, overwrite=True, quiet=True, vcs_ref=NEXT if tag != NEXT else LATER)
    assert answers_of(service).items() >= EXTREMES.items()


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_an_update_never_touches_restores_or_adds_to_what_is_the_teams(
    later: Path, tmp_path: Path, combination: dict[str, str]
) -> None:
    service = scaffold(later, tmp_path / NAME, {**combination}, NEXT)
    (service / "app" / "models.py").write_text('"""Ours."""\n')
    (service / "app" / "notes" / "routes.py").unlink()
    for test in service.glob("tests/test_notes*.py"):
        test.unlink()
    commit(service, "Our own")
    before = seeds(service)
    run_update(service, defaults=True, overwrite=True, quiet=True, vcs_ref=LATER)
    assert seeds(service) == before
    assert conflicts(service) == []
    assert owned(service) == owned(render(later, tmp_path / "fresh" / NAME, combination, ref=LATER))


def test_edits_beside_those_of_the_template_survive(later: Path, tmp_path: Path) -> None:
    service = scaffold(later, tmp_path / NAME, {}, NEXT)
    edited = ["app/main.py", "app/settings.py", "app/database/database.py", "tests/conftest.py"]
    for name in edited:
        first, *rest = (service / name).read_text().splitlines(keepends=True)
        (service / name).write_text("".join(["# Our edit.\n", first, *rest]))
    (service / "app" / "orders.py").write_text("# Our file.\n")
    project = (service / "pyproject.toml").read_text()
    (service / "pyproject.toml").write_text(project.replace('version = "0.1.0"', 'version = "1.4.2"'))
    commit(service, "Our own")
    run_update(service, defaults=True, overwrite=True, quiet=True, vcs_ref=LATER)
    assert conflicts(service) == []
    for name in edited:
        text = (service / name).read_text()
        assert text.startswith("# Our edit.\n")
        assert text.endswith("# A later release.\n")
    assert (service / "app" / "orders.py").exists()
    assert 'version = "1.4.2"' in (service / "pyproject.toml").read_text()


def test_an_update_is_announced_and_then_there_is_none(later: Path, tmp_path: Path) -> None:
    service = scaffold(later, tmp_path / NAME, {}, NEXT)
    check = [sys.executable, "-m", "copier", "check-update", "--quiet"]
    assert subprocess.run(check, cwd=service, capture_output=True, check=False).returncode == 2
    run_update(service, defaults=True, overwrite=True, quiet=True, vcs_ref=LATER)
    commit(service, "Update")
    assert subprocess.run(check, cwd=service, capture_output=True, check=False).returncode == 0
    before = files(service)
    run_update(service, defaults=True, overwrite=True, quiet=True, vcs_ref=LATER)
    assert files(service) == before


def test_the_messages_of_an_update_say_what_was_chosen_once_and_how_to_find_conflicts(
    later: Path, tmp_path: Path
) -> None:
    service = scaffold(later, tmp_path / NAME, {}, NEXT)
    command = [sys.executable, "-m", "copier", "update", "--skip-answered", "--vcs-ref", LATER]
    done = subprocess.run(command, cwd=service, text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr
    assert "chosen once" in done.stderr
    assert LATER in done.stderr
    assert "git diff --name-only --diff-filter=U" in done.stderr
