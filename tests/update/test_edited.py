"""What a team has made of its service is there after an update, line by line, and nothing is left to be solved."""

from collections.abc import Callable
from pathlib import Path

import pytest
from harness import ACCESS_STYLES, COMBINATIONS, DRIVERS, NAME, answers_of, combination_id, commit, files
from releases import Release, supported, update

from update.edits import CI_OF_TEAM, work_for_months
from update.states import changes, conflicts, owned, scaffold, seeds

pytestmark = pytest.mark.slow

POOL = {"pool_size": 25, "pool_timeout": 2.5}


def team_of(release: Release, combination: dict[str, str]) -> str:
    """Each driver and each access style meets both teams, and each combination the other one at the next release."""
    where = DRIVERS.index(combination["driver"]) + ACCESS_STYLES.index(combination["access"])
    return list(CI_OF_TEAM)[(supported().index(release) + where) % 2]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=combination_id)
def test_every_edit_survives_without_a_conflict_and_a_second_update_changes_nothing(
    release: Release, versioned: Path, rendering: Callable[..., Path], tmp_path: Path, combination: dict[str, str]
) -> None:
    team = team_of(release, combination)
    answers = {**combination, "ci": CI_OF_TEAM[team]}
    service = scaffold(versioned, tmp_path / NAME, answers, str(release))
    work_for_months(service, combination["access"], team)
    commit(service, "The work of months")
    unedited = rendering(answers, str(release))
    edits, own_seeds = changes(owned(unedited), owned(service)), seeds(service)
    assert len(edits) > 10

    update(service, POOL)  # with the release the team chooses a larger pool

    assert conflicts(service) == []
    assert seeds(service) == own_seeds
    assert changes(owned(rendering({**answers, **POOL})), owned(service)) == edits
    assert answers_of(service).items() >= POOL.items()
    commit(service, "Update")
    updated = files(service)
    update(service)
    assert files(service) == updated
