"""Fixtures that render the working tree, each combination once per worker, and the table that ends `make test`."""

import json
import os
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from harness import COMBINATIONS, NAME, combination_id, copy_template, render
from releases import clone_with_releases

collect_ignore = ["beside", "clients", "slice"]  # what a team or a client writes, run where it is put

LONGEST = ("_passes_its_tests", "_passes_all_its_tests_after_an_update")
"""The ends of the names of tests that take minutes each."""
COLUMNS = ("lint", "types", "boot", "tests", "seconds")


@pytest.fixture(scope="session", autouse=True)
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One for all services of a worker: they differ in a few modules, which mypy tells by their content."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPY_CACHE_DIR", str(tmp_path_factory.mktemp("mypy")))
        yield


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template of the working tree as a plain folder, which Copier renders as it is."""
    return copy_template(tmp_path_factory.mktemp("snapshot"))


@pytest.fixture(scope="session")
def versioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this repository in which every release is tagged; the newest is the working tree."""
    return clone_with_releases(tmp_path_factory.mktemp("versioned") / "template")


@pytest.fixture(scope="session")
def rendered(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, str]], Path]:
    """The service of a combination, with the default answers. Tests only read it."""
    services: dict[str, Path] = {}

    def service(combination: dict[str, str]) -> Path:
        name = combination_id(combination)
        if name not in services:
            services[name] = render(snapshot, tmp_path_factory.mktemp(name) / NAME, combination)
        return services[name]

    return service


@pytest.fixture(params=COMBINATIONS, ids=combination_id)
def service(request: pytest.FixtureRequest, rendered: Callable[[dict[str, str]], Path]) -> Path:
    """Each combination in turn. Tests only read it."""
    return rendered(request.param)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each worker, which gets as long a piece as the others, begins with its part of the longest: so none is the last
    one at work by minutes.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    longest = [item for item in items if item.name.partition("[")[0].endswith(LONGEST)]
    rest = iter([item for item in items if item not in longest])
    bounds = [len(items) * number // workers for number in range(workers + 1)]
    items.clear()
    for number, (begin, end) in enumerate(pairwise(bounds)):
        its_longest = longest[number::workers]
        items += [*its_longest, *islice(rest, max(0, end - begin - len(its_longest)))]
    items += rest


class Table:
    """One line for each rendered service as soon as it is through, and a table of them all at the end."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.terminal: Any = None

    @pytest.hookimpl(trylast=True)  # below the dot of this test
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        for name, value in report.user_properties:
            if name == "table":
                row = json.loads(str(value))
                self.rows[row["service"]] = row
                self.terminal.write_line("")
                self.terminal.write_line("  ".join(str(row[column]) for column in ("service", *COLUMNS)) + " s")

    def pytest_terminal_summary(self) -> None:
        if not self.rows:
            return
        columns = ("service", *COLUMNS)
        lines = [columns, *sorted(tuple(str(row[column]) for column in columns) for row in self.rows.values())]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        self.terminal.section("rendered services")
        for line in lines:
            self.terminal.write_line("  ".join(map(str.ljust, line, widths)).rstrip())


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # only the process that prints
        table = Table()
        table.terminal = config.pluginmanager.get_plugin("terminalreporter")
        config.pluginmanager.register(table)
