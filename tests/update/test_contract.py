"""Questions, their values and the rendered paths are an interface; what UPGRADING.md must say, it says.

A recorded answer that is no longer valid silently becomes the default; a path that is no longer rendered is deleted
with the edits that are in it; what is new in a seed reaches no service that exists.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import COMBINATIONS, QUESTIONS, ROOT, files, git, is_seed
from packaging.version import Version
from releases import Release, releases

from update.states import seeds

pytestmark = pytest.mark.slow

CIS = ("github", "gitlab")


def upgrading() -> Iterator[tuple[str, str]]:
    """The sections of UPGRADING.md: the version in the heading, and what stands below it."""
    _, *sections = re.split(r"^## ", (ROOT / "UPGRADING.md").read_text("utf-8"), flags=re.MULTILINE)
    for section in sections:
        heading, _, text = section.partition("\n")
        yield heading.strip(), text


def named_after(release: Release) -> set[str]:
    """What UPGRADING.md names in `backticks` in the sections of later versions."""
    later = [text for heading, text in upgrading() if Version(heading) > release.version]
    return set(re.findall(r"`([^`]+)`", "\n".join(later)))


@pytest.fixture(params=range(len(COMBINATIONS)), ids=lambda number: "-".join(COMBINATIONS[number].values()))
def both(request: pytest.FixtureRequest, release: Release, rendering: Callable[..., Path]) -> tuple[Path, Path]:
    """A combination as the release renders it, and as the working tree does."""
    answers = {**COMBINATIONS[request.param], "ci": CIS[request.param % 2]}
    return rendering(answers, str(release)), rendering(answers)


def test_a_path_that_is_gone_is_named_in_upgrading(release: Release, both: tuple[Path, Path]) -> None:
    old, new = map(files, both)
    gone = {name for name in old.keys() - new.keys() if not is_seed(name)}
    assert gone <= named_after(release)


def test_a_seed_that_is_new_or_changed_is_named_in_upgrading(release: Release, both: tuple[Path, Path]) -> None:
    old, new = map(seeds, both)
    changed = {name for name in new if new[name] != old.get(name)}
    assert changed <= named_after(release)


def test_a_file_that_was_a_seed_stays_one(release: Release, versioned: Path) -> None:
    """Else the first update after that would put the template's file over the team's."""
    old = yaml.safe_load(git(versioned, "show", f"{release}:copier.yml"))
    paths = re.findall(r"^/(\S+)$", "\n".join(old["_exclude"]), re.MULTILINE)
    assert [
        path for path in paths if not is_seed(f"{path}any" if path.endswith("/") else path.replace("*", "any"))
    ] == []


def test_questions_and_values_that_are_gone_are_named_in_upgrading(release: Release, versioned: Path) -> None:
    old: dict[str, Any] = yaml.safe_load(git(versioned, "show", f"{release}:copier.yml"))
    gone = set()
    for name, question in old.items():
        if not name.startswith("_"):
            values = dict(QUESTIONS.get(name, {}).get("choices", {})).values()
            lost = [value for value in dict(question.get("choices", {})).values() if value not in values]
            gone |= {f"{name}={value}" for value in lost} | ({name} if name not in QUESTIONS else set())
    assert gone <= named_after(release)


def test_a_new_question_has_a_default(release: Release, versioned: Path) -> None:
    old = yaml.safe_load(git(versioned, "show", f"{release}:copier.yml"))
    assert [name for name in QUESTIONS.keys() - old.keys() if "default" not in QUESTIONS[name]] == []


def test_upgrading_has_a_section_for_each_release_after_the_first() -> None:
    headings = [Version(heading) for heading, _ in upgrading()]
    assert headings == sorted(headings, reverse=True)
    assert {release.version for release in releases()[1:]} <= set(headings)


def test_each_version_in_the_changelog_has_its_release_commit() -> None:
    """A release whose commit has lost its subject, as by a merge that squashes, would be tested by nobody."""
    committed = git(ROOT, "show", "HEAD:CHANGELOG.md")
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", committed, re.MULTILINE)
    assert {str(release.version) for release in releases()} == set(versions)


def test_the_readme_says_which_version_this_is() -> None:
    readme, changelog = ((ROOT / name).read_text("utf-8") for name in ("README.md", "CHANGELOG.md"))
    assert re.findall(r"Version (\d+\.\d+\.\d+)", readme) == re.findall(r"^## (\d\S+)", changelog, re.MULTILINE)[:1]
