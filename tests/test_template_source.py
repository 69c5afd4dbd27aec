"""The template's source is plain, formatted, linted Python in place; Jinja stays where it is allowed."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import accumulate
from pathlib import Path

import pytest
from harness import COMBINATIONS, ROOT, combination_id, git, is_seed

TEMPLATE = ROOT / "template"
JINJA = re.compile(r"\{\{|\{%|\{#")
BLOCK = re.compile(r"\{%")
WITH_EXPRESSIONS = {"app/settings.py.jinja"}
FORBIDDEN_ON_WINDOWS = re.compile(r'[<>:"\\|?*\x00-\x1f]|[. ](?:/|$)')
CONDITION = re.compile(r"\{% if (\w+) == '(\w+)' %\}")
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


def modules(combination: dict[str, str]) -> dict[str, str]:
    """The modules of the data layer that a combination gets, with those that its settings are made of: name -> source.

    `app.database.bulk` stands for `app/database/bulk/__init__.py`.
    """
    chosen = {
        plain(name).removesuffix(".jinja"): name
        for name in sources()
        if all(combination.get(question, value) == value for question, value in CONDITION.findall(name))
    }
    return {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): chosen[path]
        for path in chosen
        if path.endswith(".py") and path.startswith(("app/database/", "app/settings.py", "app/url.py"))
    }


def imports(name: str, *, at_run_time: bool = False) -> Iterator[str]:
    """What a source imports, each name of `from x import y` as x.y; at run time nothing of `if TYPE_CHECKING:`."""
    nodes: list[ast.AST] = [ast.parse(text(name))]
    while nodes:
        node = nodes.pop()
        if at_run_time and isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            nodes += node.orelse
        else:
            nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports of the template are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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


def test_no_line_of_python_is_longer_than_the_formatter_makes_them() -> None:
    """Services that choose another length are not asked for it (template/ruff.toml): here it is kept."""
    folders = ["template", "tests", "scripts", "benchmarks", "trials"]
    command_line = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E501", "--line-length", "120"]
    done = subprocess.run([*command_line, *folders], cwd=ROOT, text=True, capture_output=True, check=False)
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


@pytest.mark.parametrize("folder", ["template", "tests", "scripts", "benchmarks", "trials"])
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


def test_the_data_layer_imports_nothing_of_the_service_but_itself() -> None:
    layer = [n for n in sources() if plain(n).startswith("app/database/") and n.endswith(".py")]
    assert layer
    ours = re.compile(r"app\.database(?:\.|$)")
    found = {n: [i for i in imports(n) if i.partition(".")[0] == "app" and not ours.match(i)] for n in layer}
    assert {name: outside for name, outside in found.items() if outside} == {}


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_no_module_of_the_data_layer_or_the_settings_imports_itself_by_way_of_others(
    combination: dict[str, str],
) -> None:
    """Raises CycleError, which names them."""
    known = modules(combination)
    graph: dict[str, set[str]] = {}
    for module, name in known.items():
        # All packages above what is imported come first; those above the module itself are being imported already.
        wanted = {part for i in imports(name, at_run_time=True) for part in accumulate(i.split("."), "{}.{}".format)}
        graph[module] = {part for part in wanted if part in known and not f"{module}.".startswith(f"{part}.")}
    assert graph["app.settings"] >= {"app.url"}, "nothing is read"
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("app.database.unit") < order.index("app.database.database")


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_what_moves_many_rows_stays_small(combination: dict[str, str]) -> None:
    bulk = {n: text(n).count("\n") for module, n in modules(combination).items() if ".bulk" in module}
    assert len(bulk) == 11
    assert sum(bulk.values()) <= 840


def test_what_the_template_owns_imports_no_example_slice() -> None:
    """A team deletes the slices; `app/extensions.py` and `app/models.py` are what stays to import from."""
    slices = re.compile(r"^\s*(?:from|import) app\.(?:developers|notes)\b", re.MULTILINE)
    owned = [n for n in sources() if plain(n).removesuffix(".jinja").endswith(".py") and not is_seed(plain(n))]
    assert [name for name in owned if slices.search(text(name))] == []


def test_each_name_of_the_extensions_is_read_with_a_default_and_described_in_the_seed() -> None:
    """Services that exist have the file of the release that they came from, and what their team made of it."""
    readers = [n for n in sources() if ".py" in Path(plain(n)).suffixes and "import extensions" in text(n)]
    assert readers
    assert [name for name in readers if re.search(r"\bextensions\.(?!py\b)\w+\b(?! = )", text(name))] == []
    reads = {name for reader in readers for name in re.findall(r'getattr\(extensions, "(\w+)", ', text(reader))}
    described, _, _ = text("app/extensions.py").removeprefix('"""').partition('"""')
    assert set(re.findall(r"`(\w+)`", described)) == reads
    (tested,) = re.findall(r"^NAMES = \(([^)]*)\)", text("tests/template/test_extensions.py"), re.MULTILINE)
    assert set(re.findall(r"\w+", tested)) == reads
    assert set(re.findall(r"^## `(\w+)`$", text("docs/extending.md"), re.MULTILINE)) == reads


def test_git_ignores_nothing_of_the_template() -> None:
    """`template/.gitignore` is for services, but git reads it here too."""
    ignored = git(ROOT, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", "template").split("\0")
    caches = re.compile(r"__pycache__/|_cache/|\.py[co]$|/\.venv/|\.DS_Store$")
    assert [name for name in ignored if name and not caches.search(name)] == []
