"""Each supported release in turn, fresh renders of the working tree, and a release that comes after it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import NAME, commit, render
from releases import NEXT, MissingRelease, Release, clone_with_releases, supported, tag

LATER = "v10000.0.0"
"""A release after the working tree, so that rules are tested before the first release needs them."""

collect_ignore = ["team"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Without the releases, each test fails with the sentence that says why; those of other folders still run."""
    if "release" in metafunc.fixturenames:
        try:
            found: list[Any] = list(supported())
        except MissingRelease as missing:
            found = [missing]
        ids = [str(each) if isinstance(each, Release) else "missing" for each in found]
        metafunc.parametrize("release", found, ids=ids, indirect=True)


@pytest.fixture
def release(request: pytest.FixtureRequest) -> Release:
    if isinstance(request.param, MissingRelease):
        pytest.fail(str(request.param), pytrace=False)
    assert isinstance(request.param, Release)
    return request.param


@pytest.fixture
def oldest() -> Release:
    """For what one release is enough for, and the farthest one the hardest."""
    try:
        return supported()[0]
    except MissingRelease as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def rendering(versioned: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """What a release makes of some answers, by default the working tree. Tests only read it."""
    services: dict[str, Path] = {}

    def service(answers: dict[str, Any], ref: str = NEXT) -> Path:
        key = f"{ref} {sorted(answers.items())}"
        if key not in services:
            services[key] = render(versioned, tmp_path_factory.mktemp("rendering") / NAME, answers, ref)
        return services[key]

    return service


@pytest.fixture(scope="session")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with one more release, in which every file has changed and every seed folder has a new file."""
    template = clone_with_releases(tmp_path_factory.mktemp("later") / "template")
    for path in (template / "template").rglob("*"):
        if path.name.removesuffix(".jinja").endswith((".py", ".toml", "Makefile", "README.md")):
            path.write_text(path.read_text("utf-8") + "\n# A later release.\n", "utf-8")
    for folder in ("app/developers", "app/notes", "migrations/versions"):
        (template / "template" / folder / "later.py").write_text("# A later release.\n")
    commit(template, "A later release")
    tag(template, LATER)
    return template
