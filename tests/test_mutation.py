"""The faults of `make mutation` are ones: each is valid Python, and each survivor that has a reason is still one."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from harness import COMBINATIONS, ROOT
from mutants import Mutant, mutants_of
from test_template_source import TEMPLATE, modules

SURVIVORS: dict[str, dict[str, str]] = tomllib.loads((ROOT / "trials" / "survivors.toml").read_text("utf-8"))
LAYER = "app.database"
PACKAGES = (LAYER, f"{LAYER}.bulk")


def faults() -> Iterator[tuple[str, Mutant]]:
    """Path in a service, and each fault of the modules of all combinations."""
    chosen = {(name, path) for combination in COMBINATIONS for name, path in modules(combination).items()}
    for name, path in sorted(chosen):
        if name.startswith(LAYER):
            in_service = f"{name.replace('.', '/')}{'/__init__' * (name in PACKAGES)}.py"
            yield from ((in_service, mutant) for mutant in mutants_of(Path(TEMPLATE, path).read_bytes()))


def test_each_fault_is_valid_python_and_another_program() -> None:
    found = list(faults())
    assert len(found) > 2000
    for path, mutant in found[::9]:  # all of them take half a minute
        assert compile(mutant.text(), path, "exec"), mutant.key
        assert mutant.text() != mutant.source


def test_each_reason_of_a_survivor_is_of_a_fault_that_there_is() -> None:
    there_are = {(path, mutant.key) for path, mutant in faults()}
    reasons = {(path, key) for path in SURVIVORS for key in SURVIVORS[path]}
    assert reasons <= there_are, "trials/survivors.toml has reasons for faults that are no longer made"


def test_faults_are_told_apart_without_the_numbers_of_lines() -> None:
    source = b"def f(x):\n    if x < 1 and not g(x):\n        raise ValueError('Too small a number')\n    return g(x)\n"
    moved = b"\n\n" + source
    assert [mutant.key for mutant in mutants_of(source)] == [mutant.key for mutant in mutants_of(moved)]
    assert {mutant.text().decode() for mutant in mutants_of(source)} >= {
        source.decode().replace("x < 1 and not g(x)", "(x < 1 or not g(x))"),
        source.decode().replace("x < 1", "(x <= 1)"),
        source.decode().replace("raise ValueError('Too small a number')", "pass"),
        source.decode().replace("return g(x)", "return None"),
    }
