"""A service that nobody has edited becomes, by an update from any supported release, a fresh render."""

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import COMBINATIONS, NAME, answers_of, combination_id
from releases import Release, update

from update.states import conflicts, owned, scaffold, seeds

pytestmark = pytest.mark.slow

Rendering = Callable[..., Path]

EXTREMES = [
    {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.001, "pool_recycle": -1, "pool_pre_ping": False},
    {"pool_size": 1000, "max_overflow": 1000, "pool_timeout": 3600.0, "pool_recycle": 86400, "external_pooler": True},
]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_an_untouched_service_becomes_a_fresh_render(
    release: Release, versioned: Path, rendering: Rendering, tmp_path: Path, combination: dict[str, str]
) -> None:
    service = scaffold(versioned, tmp_path / NAME, {**combination}, str(release))
    before = seeds(service)
    update(service)
    assert conflicts(service) == []
    assert owned(service) == owned(rendering(combination))
    assert seeds(service) == before


@pytest.mark.parametrize("answers", EXTREMES, ids=["least", "most"])
def test_answers_at_the_ends_of_their_ranges_are_kept(
    release: Release, versioned: Path, rendering: Rendering, tmp_path: Path, answers: dict[str, object]
) -> None:
    """A validator that has become stricter would silently put the default in their place."""
    service = scaffold(versioned, tmp_path / NAME, answers, str(release))
    update(service)
    assert answers_of(service).items() >= answers.items()
    assert owned(service) == owned(rendering(answers))
