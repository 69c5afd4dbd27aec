"""What a team does to its service within months, as it does it: in its own files, in the seeds, in the template's.

Two teams, since one cannot both rename the notes and delete them. Each edit names the line that it stands at, as it was
in every supported release; what it adds has to be there, and has to work, after an update.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

TEAM = Path(__file__).parent / "team"
DEPENDENCY = '"jinja2>=3.1"'
HOOKS = """
pytest_plugins = ["tests.fixtures"]


class Settings(settings.Settings):
    mail_server: str = "localhost"
"""


def edit(service: Path, name: str, old: str, new: str) -> None:
    """Replaces what is there once."""
    text = (service / name).read_text("utf-8")
    assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
    (service / name).write_text(text.replace(old, new), "utf-8")


def append(service: Path, name: str, text: str) -> None:
    (service / name).write_text((service / name).read_text("utf-8") + text, "utf-8")


def add_dependency(service: Path) -> None:
    """Where `uv add` puts it: in alphabetical order where the list has one, else at the end."""
    text = (service / "pyproject.toml").read_text("utf-8")
    (block,) = re.findall(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    lines = block.splitlines(keepends=True)
    ours = f"  {DEPENDENCY},\n"
    changed = sorted([*lines, ours]) if lines == sorted(lines) else [*lines, ours]
    (service / "pyproject.toml").write_text(text.replace(block, "".join(changed)), "utf-8")


def add_slice(service: Path, access: str, team: str) -> None:
    """Orders, with a router, a table, a migration after the last one, a setting and fixtures of their own."""
    last = max(path.name.partition("_")[0] for path in (service / "migrations" / "versions").glob("*.py"))
    for folder in ("common", access, team):
        if (TEAM / folder).exists():
            shutil.copytree(TEAM / folder, service, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    edit(service, "migrations/versions/create_orders.py", '"0006"', f'"{last}"')
    edit(service, "app/models.py", '"metadata"', '"metadata", "orders"')
    developers = "from app.developers import models as developers\n"
    edit(service, "app/models.py", developers, developers + "from app.orders import models as orders\n")
    developers = "from app.developers.routes import router as developers\n"
    ours = "from app import settings\nfrom app.orders.routes import router as orders\n"
    edit(service, "app/extensions.py", developers, developers + ours)
    edit(service, "app/extensions.py", "= [developers", "= [developers, orders")
    append(service, "app/extensions.py", HOOKS)


def edit_what_the_template_owns(service: Path) -> None:
    """The application, the settings, the project file, compose, the Makefile."""
    edit(service, "app/main.py", "title=SERVICE_NAME,\n", 'title=SERVICE_NAME,\n        version="1.4.2",\n')
    edit(service, "app/settings.py", "connect_timeout: float = Field(5,", "connect_timeout: float = Field(3,")
    quiet = '    logging.getLogger("httpx").setLevel(logging.WARNING)\n'
    edit(service, "app/logs.py", "    for name in (", f"{quiet}    for name in (")
    edit(service, "pyproject.toml", 'version = "0.1.0"', 'version = "1.4.2"')
    append(service, "pyproject.toml", '\n[tool.coverage.run]\nsource = ["app"]\n')
    append(service, ".env.example", "\n# The server that sends our mail.\n# MAIL_SERVER=localhost\n")
    edit(service, "compose.yaml", "  environment:\n    # The", "  environment:\n    MAIL_SERVER: mail\n    # The")
    mail = "\n  mail:\n    image: axllent/mailpit:v1.27\n"
    edit(service, "compose.yaml", "\nvolumes:\n  database:", f"{mail}\nvolumes:\n  database:")
    append(service, "Makefile", "\n.PHONY: orders\norders: ## Count the orders\n\tuv run python -m app.orders\n")


def edit_github(service: Path) -> None:
    workflow = ".github/workflows/ci.yml"
    edit(service, workflow, 'python: ["3.11", "3.13"]', 'python: ["3.13"]')
    edit(service, workflow, "      - run: make check\n", "      - run: make check\n      - run: uvx pip-audit\n")
    append(service, workflow, "\n  docs:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo docs\n")


def edit_gitlab(service: Path) -> None:
    edit(service, ".gitlab-ci.yml", '- PYTHON: ["3.11", "3.13"]', '- PYTHON: ["3.13"]')
    edit(service, ".gitlab-ci.yml", "    - make check\n", "    - make check\n    - uvx pip-audit\n")
    append(service, ".gitlab-ci.yml", "\ndocs:\n  script:\n    - echo docs\n")


def edit_seeds(service: Path) -> None:
    (service / "README.md").write_text("# Orders\n\nOf the team of orders.\n", "utf-8")
    edit(service, "app/developers/routes.py", '"There is no developer', '"Nobody is developer')


def rename_notes(service: Path) -> None:
    """A field of the example, with its column."""
    for path in [*(service / "app" / "notes").glob("*.py"), service / "tests" / "test_notes.py"]:
        path.write_text(re.sub(r"\btext\b", "body", path.read_text("utf-8")), "utf-8")
    developers = service / "tests" / "test_developers.py"
    developers.write_text(developers.read_text("utf-8").replace('json={"text":', 'json={"body":'), "utf-8")


def delete_notes(service: Path) -> None:
    """The example, its tests, its migrations, and the lines that name it."""
    shutil.rmtree(service / "app" / "notes")
    (service / "tests" / "test_notes.py").unlink()
    developers = service / "tests" / "test_developers.py"  # up to 0.1.0 one of its tests asks for notes
    of_notes = r"^async def test_a_deleted_developer_is_gone_with_its_notes.*?\n\n\n"
    remaining = re.sub(of_notes, "", developers.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    developers.write_text(remaining, "utf-8")
    for path in (service / "migrations" / "versions").glob("*notes*.py"):
        path.unlink()
    edit(service, "app/models.py", "from app.notes import models as notes\n", "")
    edit(service, "app/models.py", ', "notes"]', "]")
    edit(service, "app/extensions.py", "from app.notes.routes import router as notes\n", "")
    edit(service, "app/extensions.py", ", notes]", "]")


def reformat(service: Path) -> None:
    """As `make format` does; a service is rendered so that this changes nothing of the template's."""
    for arguments in (["check", "--fix", "--quiet", "."], ["format", "--quiet", "."]):
        subprocess.run([sys.executable, "-m", "ruff", *arguments], cwd=service, check=True)


TEAMS: dict[str, Callable[[Path], None]] = {"renaming": rename_notes, "deleting": delete_notes}
CIS: dict[str, Callable[[Path], None]] = {"github": edit_github, "gitlab": edit_gitlab}
CI_OF_TEAM = {"renaming": "github", "deleting": "gitlab"}


def work_for_months(service: Path, access: str, team: str) -> None:
    """All the edits of a team. A changed pool is not among them: that is an update by itself."""
    TEAMS[team](service)
    add_slice(service, access, team)
    CIS[CI_OF_TEAM[team]](service)
    edit_seeds(service)
    edit_what_the_template_owns(service)
    add_dependency(service)
    reformat(service)
