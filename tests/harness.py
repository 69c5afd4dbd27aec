"""Renders this template through Copier's public API: the working tree, never by accident the last tag.

Copier renders the newest tag of a local repository, so tests of a repository that has tags would pass on old files.
Everything here starts from a snapshot of the files that git knows or would add. Importing this module cuts the process
off from the developer's own git and Copier configuration and from the environment of a running service.
"""

import os
import re
import shutil
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from copier import run_copy

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
QUESTIONS: dict[str, dict[str, Any]] = {
    name: question for name, question in CONFIGURATION.items() if not name.startswith("_")
}
SEEDS: tuple[str, ...] = tuple(re.findall(r"^/(\S+)$", "\n".join(CONFIGURATION["_exclude"]), re.MULTILINE))
"""What is the team's after the first render: files, with wildcards, and folders, with a slash at their end."""
NAME = "orders-api"
DRIVERS = ("asyncpg", "aiomysql")
ACCESS_STYLES = ("orm", "databases")
COMBINATIONS = tuple({"driver": driver, "access": access} for driver in DRIVERS for access in ACCESS_STYLES)

UNRENDERED = {".git", ".venv", ".dev", "uv.lock", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


def combination_id(combination: dict[str, str]) -> str:
    return f"{combination['driver']}-{combination['access']}"


SLOW = "PYTHONDONTWRITEBYTECODE"  # see the Makefile
FOREIGN = ("GIT_", "COPIER_", "DATABASE_", "VIRTUAL_ENV", "WEB_CONCURRENCY", "PYTHONPATH", "UV_PROJECT", SLOW)
for variable in [name for name in os.environ if name.startswith(FOREIGN)]:
    del os.environ[variable]
os.environ["COPIER_SETTINGS_PATH"] = str(ROOT / "tests" / "copier-settings.yml")
os.environ["GIT_CONFIG_GLOBAL"] = str(ROOT / "tests" / "gitconfig")
os.environ["GIT_CONFIG_NOSYSTEM"] = "1"


def git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises CalledProcessError."""
    command = ["git", "-c", "core.quotePath=false", *arguments]
    return subprocess.run(command, cwd=folder, check=True, text=True, capture_output=True).stdout


def copy_working_tree(target: Path, *paths: str) -> Path:
    """Copies what a commit of everything would contain (below `paths`), without the repository itself."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # a file that was deleted but not yet committed is still listed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def copy_template(target: Path) -> Path:
    """The template as a plain folder: Copier renders it as it is."""
    return copy_working_tree(target, "copier.yml", "template")


def render(template: Path, target: Path, answers: dict[str, Any] | None = None, ref: str | None = None) -> Path:
    """Renders a service into `target`; what is not answered gets its default. Raises what Copier raises."""
    answers = {"project_name": NAME} | (answers or {})
    unknown = answers.keys() - QUESTIONS.keys()
    assert not unknown, f"no such questions, and Copier would say nothing: {unknown}"
    run_copy(str(template), target, data=answers, defaults=True, quiet=True, vcs_ref=ref, unsafe=False)
    return target


def commit(service: Path, message: str) -> None:
    """Commits all of it, in a new repository where there is none."""
    if not (service / ".git").exists():
        git(service, "init", "--quiet")
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--message", message)


def paths(root: Path) -> list[str]:
    """The rendered files, as sorted POSIX paths; what tools leave behind is no part of them."""
    found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not UNRENDERED & set(path.parts))


def files(root: Path) -> dict[str, str]:
    """Path -> text of the rendered files, with the line ends that they have."""
    return {path: (root / path).read_bytes().decode("utf-8") for path in paths(root)}


def answers_of(service: Path) -> dict[str, Any]:
    recorded: dict[str, Any] = yaml.safe_load((service / ".copier-answers.yml").read_text("utf-8"))
    return recorded


def is_seed(path: str) -> bool:
    return any(path.startswith(seed) if seed.endswith("/") else fnmatchcase(path, seed) for seed in SEEDS)
