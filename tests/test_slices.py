"""The example slices are the team's to delete: what is left still lints, boots and passes its tests."""

import re
import shutil
from pathlib import Path

import pytest
from harness import NAME, combination_id, render
from services import CommandFailed, Service, database_url, python_called

pytestmark = pytest.mark.slow

SLICES = (
    "app/developers",
    "app/notes",
    "tests/test_developers*.py",
    "tests/test_notes*.py",
    "migrations/versions/*.py",
)


def delete_slices(service: Path) -> None:
    """As a team would: the folders, their tests and migrations, and in the two seeds what imports them."""
    for pattern in SLICES:
        for path in service.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for seed in ("app/extensions.py", "app/models.py"):
        text = (service / seed).read_text()
        text = re.sub(r"^(from app\.|    \{\"name\": \")(developers|notes)\b.*\n", "", text, flags=re.MULTILINE)
        text = re.sub(r'"?\b(?:developers|notes)\b"?(?:, )?', "", text)
        (service / seed).write_text(text.replace(", ]", "]"))


@pytest.mark.parametrize(
    "combination",
    [{"driver": "asyncpg", "access": "orm"}, {"driver": "aiomysql", "access": "databases"}],
    ids=combination_id,
)
def test_a_service_without_its_slices_is_clean_starts_and_passes_its_tests(
    combination: dict[str, str], snapshot: Path, tmp_path: Path
) -> None:
    service = Service(render(snapshot, tmp_path / NAME, combination), python_called("newest"), {"MYSQLD": ""})
    delete_slices(service.path)
    try:
        service.run("uv", "sync", "--quiet")
        service.run("uv", "run", "ruff", "check", "--fix", ".")  # the import block of a seed that lost lines
        service.run("uv", "run", "ruff", "format", ".")
        service.run("uv", "run", "mypy")
        with service.dev_server() as server:
            url = database_url(server)
            service.create_database(url)
            service.run("uv", "run", "alembic", "upgrade", "head", DATABASE_URL=url)
            with service.serving(url) as client:
                assert client.get("/health/ready").status_code == 200
                assert client.get("/developers").status_code == 404
        service.run("uv", "run", "pytest", "-q", "-n", "2")
    except CommandFailed as failure:
        raise pytest.fail.Exception(str(failure), pytrace=False) from None
