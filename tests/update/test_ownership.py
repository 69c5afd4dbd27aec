"""Seeds are the team's: an update never touches, restores or adds to them. All else takes what a release brings."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from harness import COMBINATIONS, NAME, SEEDS, combination_id, commit, files, is_seed, render
from releases import NEXT, update

from update.conftest import LATER
from update.states import conflicts, owned, scaffold, seeds

pytestmark = pytest.mark.slow


def test_each_seed_is_a_path_that_is_rendered(versioned: Path, tmp_path: Path) -> None:
    rendered = files(render(versioned, tmp_path / NAME, ref=NEXT))
    assert SEEDS
    assert [seed for seed in SEEDS if not any(fnmatchcase(name, f"{seed}*") for name in rendered)] == []
    assert not is_seed("README.md.bak")
    assert not is_seed("app/extensions.pyi")


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_an_update_never_touches_restores_or_adds_to_what_is_the_teams(
    later: Path, tmp_path: Path, combination: dict[str, str]
) -> None:
    service = scaffold(later, tmp_path / NAME, {**combination}, NEXT)
    (service / "app" / "models.py").write_text('"""Ours."""\n')
    (service / "app" / "notes" / "routes.py").unlink()
    (service / "tests" / "test_notes.py").unlink()
    commit(service, "Our own")
    before = seeds(service)
    update(service, ref=LATER)
    assert seeds(service) == before
    assert conflicts(service) == []
    assert owned(service) == owned(render(later, tmp_path / "fresh" / NAME, combination, ref=LATER))


def test_edits_beside_those_of_the_template_survive(later: Path, tmp_path: Path) -> None:
    service = scaffold(later, tmp_path / NAME, {}, NEXT)
    edited = ["app/main.py", "app/settings.py", "app/database/database.py", "tests/conftest.py"]
    for name in edited:
        (service / name).write_text("# Our edit.\n" + (service / name).read_text())
    commit(service, "Our own")
    update(service, ref=LATER)
    assert conflicts(service) == []
    for name in edited:
        text = (service / name).read_text()
        assert text.startswith("# Our edit.\n")
        assert text.endswith("# A later release.\n")
