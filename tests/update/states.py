"""A service between two renders: how it begins, what the template owns of it, and what its team has made of that."""

from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from harness import commit, files, git, is_seed, render

Change = tuple[str, str]
"""A sign, + or -, and a line."""


def scaffold(template: Path, target: Path, answers: dict[str, Any], ref: str) -> Path:
    """A service of a release, committed."""
    render(template, target, answers, ref)
    commit(target, "Scaffold")
    return target


def owned(service: Path) -> dict[str, str]:
    """All but the seeds, without the line that names the template's version."""
    texts = {name: text for name, text in files(service).items() if not is_seed(name)}
    lines = texts[".copier-answers.yml"].splitlines(keepends=True)
    texts[".copier-answers.yml"] = "".join(line for line in lines if not line.startswith("_commit"))
    return texts


def seeds(service: Path) -> dict[str, str]:
    return {name: text for name, text in files(service).items() if is_seed(name)}


def changes(old: dict[str, str], new: dict[str, str]) -> dict[str, Counter[Change]]:
    """Path -> the lines that came and went between two states of a service; blank ones do not count."""
    found: dict[str, Counter[Change]] = {}
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, "").splitlines(), new.get(name, "").splitlines()
        lines: Counter[Change] = Counter()
        for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if kind != "equal":
                lines.update(("-", line) for line in before[i:j] if line.strip())
                lines.update(("+", line) for line in after[k:m] if line.strip())
        if lines or (name in old) != (name in new):
            found[name] = lines
    return found


def conflicts(service: Path) -> list[str]:
    """Files that an update has left in conflict. Copier itself ends with success."""
    left = [path.name for path in service.rglob("*.rej")]
    marked = [name for name, text in files(service).items() if "\n<<<<<<< " in text or "\n>>>>>>> " in text]
    return left + marked + git(service, "diff", "--name-only", "--diff-filter=U").split()
