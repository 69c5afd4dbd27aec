"""For the tests of what the template owns alone."""

import pytest

from app import extensions


@pytest.fixture(autouse=True)
def no_checks_of_the_team(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they need may not be there in a test."""
    monkeypatch.setattr(extensions, "readiness_checks", [], raising=False)
