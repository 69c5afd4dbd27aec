"""What teams add to their tests works beside the fixtures of the template: packages, files, overrides, clocks."""

import shutil
from pathlib import Path

import pytest
from harness import NAME, combination_id, render
from services import CommandFailed, Service, python_called

pytestmark = pytest.mark.slow

BESIDE = Path(__file__).parent / "beside"
RUN = ("uv", "add", "--quiet", "httpx", "python-multipart")
IN_TESTS = ("uv", "add", "--quiet", "--dev", "pytest-asyncio", "respx", "time-machine")
SETTING = 'asyncio_default_fixture_loop_scope = "function"'


@pytest.mark.parametrize(
    "combination",
    [{"driver": "asyncpg", "access": "orm"}, {"driver": "aiomysql", "access": "databases"}],
    ids=combination_id,
)
def test_packages_that_teams_use_work_beside_the_fixtures(
    combination: dict[str, str], snapshot: Path, tmp_path: Path
) -> None:
    service = Service(render(snapshot, tmp_path / NAME, combination), python_called("newest"), {"MYSQLD": ""})
    shutil.copytree(BESIDE, service.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    extensions = service.path / "app" / "extensions.py"
    text = extensions.read_text()
    notes = "from app.notes.routes import router as notes\n"
    text = text.replace(notes, f"{notes}{notes.replace('notes', 'pictures')}").replace("notes]", "notes, pictures]")
    extensions.write_text(text)
    try:
        service.run(*RUN)
        service.run(*IN_TESTS)
        project = service.path / "pyproject.toml"  # what the README says that pytest-asyncio needs
        project.write_text(project.read_text().replace('anyio_mode = "auto"\n', f'anyio_mode = "auto"\n{SETTING}\n'))
        service.run("make", "check")
        service.run("make", "test-own")
    except CommandFailed as failure:
        raise pytest.fail.Exception(str(failure), pytrace=False) from None
