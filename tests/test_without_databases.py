"""A service goes on without the library `databases` in the steps of its page docs/database.md."""

import re
from pathlib import Path

import pytest
from harness import NAME, render
from services import Service

pytestmark = pytest.mark.slow


def test_the_steps_of_the_page_take_a_service_off_the_library(snapshot: Path, tmp_path: Path) -> None:
    path = render(snapshot, tmp_path / NAME, {"driver": "asyncpg", "access": "databases"})
    steps = (path / "docs" / "database.md").read_text()
    assert "`class Session(Fetching):`" in steps
    assert "`uv remove databases`" in steps
    backend = path / "app" / "database" / "backend.py"
    text = backend.read_text().replace("from databases.core import Connection\n", "")
    text = re.sub(r"^class Session\(.*$", "class Session(Fetching):", text, flags=re.MULTILINE)
    backend.write_text(re.sub(r"  # type: ignore\[override\]", "", text))
    service = Service(path)
    service.run("uv", "remove", "databases")
    service.run("uv", "run", "mypy", "app")
    service.run("uv", "run", "pytest", "-q", "tests/template/test_transactions.py", "tests/template/test_iterate.py")
