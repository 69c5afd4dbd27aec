"""Releases are found by the subjects of commits, few of them are tested, and a history without them fails loudly."""

from pathlib import Path

import pytest
import releases
from harness import commit, git
from releases import LATEST, NEXT, OLDEST_SUPPORTED, MissingRelease, supported
from update_demo import previous


def repository(folder: Path, *subjects: str) -> Path:
    folder.mkdir()
    for number, subject in enumerate(subjects):
        (folder / "file").write_text(str(number))
        commit(folder, subject)
    return folder


def versions(folder: Path) -> list[str]:
    return [str(release) for release in supported(folder)]


def test_a_release_is_a_commit_with_its_subject_and_nothing_else(tmp_path: Path) -> None:
    others = ("Release v0.2.0 soon", "A Release v0.3.0", "Release 0.4.0", "Release v0.5.0rc1")
    folder = repository(tmp_path / "template", "Begin", "Release v0.1.0", *others)
    assert versions(folder) == ["v0.1.0"]
    assert supported(folder)[0].commit == git(folder, "log", "--format=%H", "--grep=^Release v0.1.0$").strip()


def test_the_oldest_supported_release_and_the_latest_are_tested_however_many_there_are(tmp_path: Path) -> None:
    subjects = [f"Release v0.{minor}.0" for minor in range(1, 12)]
    assert versions(repository(tmp_path / "template", *subjects)) == ["v0.1.0", "v0.9.0", "v0.10.0", "v0.11.0"]
    assert versions(repository(tmp_path / "young", *subjects[:2])) == ["v0.1.0", "v0.2.0"]
    assert LATEST == 3


def test_a_history_without_the_oldest_supported_release_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingRelease, match=rf"^No commit .* Release v{OLDEST_SUPPORTED}: fetch the whole history"):
        supported(repository(tmp_path / "template", "Begin", "Release v99.0.0"))


def test_a_shallow_clone_is_said_in_one_sentence(tmp_path: Path) -> None:
    whole = repository(tmp_path / "template", "Release v0.1.0", "More")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{whole}", "shallow")
    with pytest.raises(MissingRelease, match=r"^This clone is shallow .*: run git fetch --unshallow$"):
        supported(tmp_path / "shallow")


def test_two_commits_of_one_release_are_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingRelease, match=r"^Two commits have the subject Release v0\.1\.0"):
        supported(repository(tmp_path / "template", "Release v0.1.0", "Release v0.1.0"))


def test_a_clone_has_every_release_as_an_annotated_tag_and_the_working_tree_as_the_newest(versioned: Path) -> None:
    kinds = git(versioned, "for-each-ref", "--format=%(objecttype) %(refname:short)", "refs/tags").splitlines()
    assert kinds == [f"tag {name}" for name in sorted([NEXT, *map(str, releases.releases())])]
    for release in releases.releases():
        assert git(versioned, "rev-parse", f"{release}^{{commit}}").strip() == release.commit


def test_the_demo_starts_from_the_last_release_that_differs_from_the_working_tree(tmp_path: Path) -> None:
    """On the commit of a release itself it would show an update that brings nothing."""
    clone = releases.clone_with_releases(tmp_path / "template")
    *_, last = releases.releases()
    git(clone, "rm", "-r", "--quiet", "copier.yml", "template")
    git(clone, "checkout", "--quiet", last.commit, "--", "copier.yml", "template")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "As released")
    git(clone, "tag", "--force", "--annotate", "--message", NEXT, NEXT)
    assert previous(clone) in map(str, releases.releases()[:-1])
    (clone / "template" / "later.py").touch()
    commit(clone, "Differs")
    git(clone, "tag", "--force", "--annotate", "--message", NEXT, NEXT)
    assert previous(clone) == str(last)
