"""The template's source is plain, formatted, linted Python in place; Jinja stays where it is allowed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import ROOT, git, is_seed

TEMPLATE = ROOT / "template"
JINJA = re.compile(r"\{\{|\{%|\{#")
BLOCK = re.compile(r"\{%")
WITH_EXPRESSIONS = {"app/settings.py.jinja"}
FORBIDDEN_ON_WINDOWS = re.compile(r'[<>:"\\|?*\x00-\x1f]|[. ](?:/|$)')
RESERVED_ON_WINDOWS = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def sources() -> list[str]:
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "template")
    names = (name.removeprefix("template/") for name in listed.split("\0") if name)
    return sorted(name for name in names if (TEMPLATE / name).is_file())


def text(name: str) -> str:
    return (TEMPLATE / name).read_text("utf-8")


def plain(name: str) -> str:
    """The path without its conditions: app/{% if access == 'orm' %}database{% endif %}/x.py -> app/database/x.py."""
    return re.sub(r"\{%.*?%\}", "", name)


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check", "mypy"])
def test_the_repository_is_clean(command: str) -> None:
    tool, *arguments = command.split()
    command_line = [sys.executable, "-m", tool, *arguments]
    done = subprocess.run(command_line, cwd=ROOT, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", ["check", "format --check"])
def test_the_template_is_clean_by_the_rules_that_services_get(command: str) -> None:
    command_line = [sys.executable, "-m", "ruff", *command.split(), "--config", "ruff.toml", "."]
    done = subprocess.run(command_line, cwd=TEMPLATE, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_python_has_no_jinja_blocks_and_expressions_only_in_the_settings() -> None:
    python = [name for name in sources() if plain(name).endswith((".py", ".py.jinja"))]
    assert python
    assert [name for name in python if BLOCK.search(text(name))] == []
    assert {name for name in python if name.endswith(".jinja")} == WITH_EXPRESSIONS


def test_python_variants_are_chosen_by_folder() -> None:
    """A file whose own name is conditional has no `.py` suffix for the linter to find."""
    assert [name for name in sources() if name.endswith("%}") and ".py" in name] == []
    assert [name for name in sources() if "{%" in Path(name).name and ".py" in Path(name).name] == []


def test_a_file_is_called_jinja_if_and_only_if_jinja_is_in_it() -> None:
    assert [name for name in sources() if name.endswith(".jinja") and not JINJA.search(text(name))] == []
    # `${{` is GitHub's own
    assert [n for n in sources() if not n.endswith((".jinja", ".py")) and re.search(r"(?<!\$)\{\{ |\{%", text(n))] == []


@pytest.mark.parametrize("folder", ["template", "tests", "scripts", "benchmarks"])
def test_every_path_can_exist_on_windows_and_macos(folder: str) -> None:
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder).split("\0")
    assert [name for name in names if FORBIDDEN_ON_WINDOWS.search(name)] == []
    parts = {part.lower().partition(".")[0] for name in names for part in name.split("/")}
    assert not parts & RESERVED_ON_WINDOWS
    assert len({name.lower() for name in names}) == len(names), "two names that differ by case only"


def test_modules_that_the_template_owns_are_read_in_one_sitting() -> None:
    owned = [n for n in sources() if plain(n).startswith("app/") and n.endswith((".py", ".py.jinja"))]
    long = {name: lines for name in owned if not is_seed(plain(name)) and (lines := text(name).count("\n")) > 150}
    assert long == {}


def test_modules_that_the_template_owns_say_what_they_guarantee() -> None:
    owned = [n for n in sources() if plain(n).startswith(("app/", "dev/")) and n.endswith(".py") and text(n).strip()]
    assert [name for name in owned if not text(name).startswith('"""')] == []


def test_what_the_template_owns_imports_no_example_slice() -> None:
    """A team deletes the slices; `app/extensions.py` and `app/models.py` are what stays to import from."""
    slices = re.compile(r"^\s*(?:from|import) app\.(?:developers|notes)\b", re.MULTILINE)
    owned = [n for n in sources() if plain(n).removesuffix(".jinja").endswith(".py") and not is_seed(plain(n))]
    assert [name for name in owned if slices.search(text(name))] == []


def test_each_name_of_the_extensions_is_read_with_a_default_and_described_in_the_seed() -> None:
    """Services that exist have the file of the release that they came from, and what their team made of it."""
    readers = [name for name in sources() if plain(name).endswith(".py") and "import extensions" in text(name)]
    assert readers
    assert [name for name in readers if re.search(r"\bextensions\.(?!py\b)\w", text(name))] == []
    reads = {name for reader in readers for name in re.findall(r'getattr\(extensions, "(\w+)", ', text(reader))}
    described, _, _ = text("app/extensions.py").removeprefix('"""').partition('"""')
    assert set(re.findall(r"`(\w+)`", described)) == reads
    (tested,) = re.findall(r"^NAMES = (.*)$", text("tests/test_extensions.py"), re.MULTILINE)
    assert set(re.findall(r"\w+", tested)) == reads


def test_git_ignores_nothing_of_the_template() -> None:
    """`template/.gitignore` is for services, but git reads it here too."""
    ignored = git(ROOT, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", "template").split("\0")
    caches = re.compile(r"__pycache__/|_cache/|\.py[co]$|/\.venv/|\.DS_Store$")
    assert [name for name in ignored if name and not caches.search(name)] == []
