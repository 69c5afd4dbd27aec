"""The releases of this template: commits with the subject `Release vX.Y.Z`, found in the history and tagged in clones.

Not found by tags, which do not travel with every copy of a repository. What the history should have and has not is a
MissingRelease, in one sentence. `update` is what a team does: it brings a service to the working tree, as release NEXT.
"""

import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from copier import run_update
from harness import ROOT, copy_working_tree, git
from packaging.version import Version

OLDEST_SUPPORTED = Version("0.1.0")
"""Services of this release and of all later ones can be updated."""
LATEST = 3
"""So many of the latest releases are tested besides, which bounds the tests however many releases there are."""
NEXT = "v9999.0.0"
"""The tag of the working tree in a clone: newer than any release."""

_SUBJECT = re.compile(r"^(\w+) Release v(\d+\.\d+\.\d+)$", re.MULTILINE)


class MissingRelease(Exception):
    """Which release is not in the history, and what to do."""


class Release(NamedTuple):
    version: Version
    commit: str

    def __str__(self) -> str:
        return f"v{self.version}"


def releases(repository: Path = ROOT) -> list[Release]:
    """All of them, the oldest first. Raises MissingRelease."""
    if git(repository, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise MissingRelease("This clone is shallow and may lack releases to update from: run git fetch --unshallow")
    commits = _SUBJECT.findall(git(repository, "log", "--format=%H %s"))
    found = sorted(Release(Version(version), commit) for commit, version in commits)
    versions = [release.version for release in found]
    if twice := next((version for version in versions if versions.count(version) > 1), None):
        raise MissingRelease(
            f"Two commits have the subject Release v{twice}: only the one that was released may have it"
        )
    if OLDEST_SUPPORTED not in versions:
        raise MissingRelease(
            f"No commit of this history has the subject Release v{OLDEST_SUPPORTED}: "
            "fetch the whole history of the template's main branch"
        )
    return found


def supported(repository: Path = ROOT) -> list[Release]:
    """Those that the tests update from: the oldest supported one and the latest ones. Raises MissingRelease."""
    found = [release for release in releases(repository) if release.version >= OLDEST_SUPPORTED]
    return [found[0], *found[1:][-LATEST:]]


def clone_with_releases(target: Path) -> Path:
    """A clone with every release tagged, and the working tree on top as release NEXT. Raises MissingRelease."""
    found = releases()
    git(ROOT, "clone", "--quiet", "--no-local", "--no-tags", str(ROOT), str(target))
    for release in found:
        tag(target, str(release), release.commit)
    for path in target.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    copy_working_tree(target)
    git(target, "add", "--all")
    git(target, "commit", "--quiet", "--allow-empty", "--message", "Working tree")
    tag(target, NEXT)
    return target


def tag(repository: Path, name: str, commit: str = "HEAD") -> None:
    git(repository, "tag", "--annotate", "--message", name, name, commit)


def update(service: Path, answers: dict[str, Any] | None = None, ref: str = NEXT) -> None:
    """Updates a committed service. Raises what Copier raises."""
    run_update(service, data=answers or {}, defaults=True, overwrite=True, quiet=True, vcs_ref=ref, unsafe=False)
