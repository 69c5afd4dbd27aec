"""A service that nobody has edited becomes, by an update from any supported release, a fresh render."""

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import COMBINATIONS, NAME, answers_of
from releases import Release, update

from update.states import conflicts, owned, scaffold, seeds

pytestmark = pytest.mark.slow

Rendering = Callable[..., Path]

LEAST = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.001, "pool_recycle": -1, "pool_pre_ping": False}
MOST = {"pool_size": 1000, "max_overflow": 1000, "pool_timeout": 3600.0, "pool_recycle": 86400, "external_pooler": True}


@pytest.mark.parametrize(
    "answers",
    [COMBINATIONS[0], COMBINATIONS[1] | LEAST, COMBINATIONS[2] | MOST, COMBINATIONS[3]],
    ids=["asyncpg-orm", "asyncpg-databases-least", "aiomysql-orm-most", "aiomysql-databases"],
)
def test_an_untouched_service_becomes_a_fresh_render_and_keeps_its_answers(
    release: Release, versioned: Path, rendering: Rendering, tmp_path: Path, answers: dict[str, object]
) -> None:
    """Also those at the ends of their ranges: a validator that has become stricter would silently put the default."""
    service = scaffold(versioned, tmp_path / NAME, answers, str(release))
    before = seeds(service)
    update(service)
    assert conflicts(service) == []
    assert answers_of(service).items() >= answers.items()
    assert owned(service) == owned(rendering(answers))
    assert seeds(service) == before
