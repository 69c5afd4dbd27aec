"""The pages of docs/, which some tests read: what a team has deleted is not tested."""

from pathlib import Path

import pytest


def page(name: str) -> str:
    file = Path(__file__).parents[1] / "docs" / name
    if not file.exists():
        pytest.skip(f"docs/{name} was deleted", allow_module_level=True)
    return file.read_text("utf-8")
