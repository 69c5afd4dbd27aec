"""`make scale`: its page is what it measured, each cluster has a profile of compose, and it knows a mirror of Debian in
both forms that apt has for one.

The clusters themselves are not part of the tests: `make scale` runs them.
"""

import json

import pytest
import yaml
from harness import ROOT
from packages import MIRROR
from scale.__main__ import CLUSTERS, LANES
from scale.page import PAGE, RESULTS, page
from scale.rows import Row
from test_deploy import lint, satisfies

TRIALS = ROOT / "trials"


def measured() -> list[Row]:
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    return [Row(**row) for name in sorted(results) for row in results[name]]


def test_the_page_is_made_of_what_was_measured() -> None:
    """Neither of them is there before the first run."""
    shown = PAGE.read_text("utf-8") if PAGE.exists() else ""
    assert shown == (page(measured()) if measured() else ""), "docs/scale.md is stale: run make scale"


def test_the_page_shows_nothing_that_is_not_as_promised() -> None:
    assert [row.failed for row in measured() if row.failed] == []


def test_each_cluster_has_its_place_in_one_line() -> None:
    assert sorted(name for lane in LANES for name in lane) == sorted(CLUSTERS)


def test_each_cluster_has_a_profile_of_compose_that_runs_it() -> None:
    satisfies("vendor.compose-spec", TRIALS / "compose.yaml")
    lint("hadolint", "--no-color", "Dockerfile", cwd=TRIALS)
    services = yaml.safe_load((TRIALS / "compose.yaml").read_text("utf-8"))["services"]
    assert services.keys() == CLUSTERS.keys()
    for name, service in services.items():
        assert (service["profiles"], service["command"]) == ([name], ["make", "scale", f"only={name}"])
        assert (TRIALS / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize(
    "source",
    [
        "deb http://mirror.example/debian bookworm main\n",
        "# comment\ndeb [signed-by=/usr/share/keyrings/x.gpg] http://mirror.example/debian/ trixie main\n",
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\n",
        "Types: deb\n# http://other.example/debian/2025\nURIs: http://mirror.example/debian/\n",
    ],
)
def test_the_mirror_is_read_from_the_sources_of_apt(source: str) -> None:
    found = MIRROR.search(source)
    assert found
    assert found[1] == "http://mirror.example/debian"


def test_a_mirror_of_security_updates_is_none() -> None:
    assert MIRROR.search("URIs: http://mirror.example/debian-security\n") is None
