"""What is rendered is complete, clean and stable, for every combination and at the ends of each question's range."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import COMBINATIONS, NAME, answers_of, combination_id, files, paths, render

# What may differ between combinations, and over which question. All other files are the same bytes in all four.
BOTH = frozenset({"driver", "access"})
DRIVER = frozenset({"driver"})
ACCESS = frozenset({"access"})
DIFFERENT_PYTHON = {
    "app/database/backend.py": ACCESS,
    "app/database/bulk/on_conflict.py": DRIVER,
    "app/database/bulk/statements.py": DRIVER,
    "app/database/connecting.py": DRIVER,
    "app/database/dialect.py": DRIVER,
    "app/database/driver.py": DRIVER,
    "app/database/instants.py": DRIVER,
    "app/database/error_codes.py": DRIVER,
    "app/developers/models.py": ACCESS,
    "app/developers/queries.py": ACCESS,
    "app/notes/models.py": ACCESS,
    "app/notes/queries.py": ACCESS,
    "dev/binaries.py": DRIVER,
    "dev/databases.py": DRIVER,
    "migrations/cycles.py": DRIVER,
    "migrations/lint.py": DRIVER,
    "migrations/lock.py": DRIVER,
    "migrations/server.py": DRIVER,
    "tests/facts.py": DRIVER,
    "tests/template/server_types.py": DRIVER,
    "tests/template/test_bulk_join.py": DRIVER,
    "tests/template/test_bulk_targets.py": DRIVER,
    "tests/template/test_run_sync.py": ACCESS,
    "app/database/plans.py": DRIVER,
    "app/database/pooler.py": DRIVER,
    "app/database/provider_options.py": DRIVER,
    "app/database/literals.py": DRIVER,
    "app/database/raw.py": DRIVER,
    "app/database/replies.py": DRIVER,
    "app/database/savepoint.py": ACCESS,
    "app/database/codecs.py": DRIVER,
    "tests/template/test_entities.py": ACCESS,
    "tests/template/test_entities_under_way.py": ACCESS,
    "tests/template/test_iterate.py": ACCESS,
    "tests/template/test_first_and_last_times.py": DRIVER,
    "tests/template/test_migrations_here.py": DRIVER,
    "tests/template/test_clear_text.py": DRIVER,
    "tests/template/test_pooler.py": DRIVER,
    "tests/template/test_literals.py": DRIVER,
    "tests/template/test_rolled_back.py": ACCESS,
    "tests/template/test_savepoints.py": ACCESS,
    "tests/template/test_server_errors.py": DRIVER,
    "tests/template/test_replies.py": DRIVER,
    "tests/template/test_unread_replies.py": DRIVER,
    "tests/template/test_bulk_upsert_here.py": DRIVER,
    "tests/template/test_session_options.py": ACCESS,
    "tests/template/texts.py": DRIVER,
    "tests/template/ways.py": ACCESS,
}
DIFFERENT_OTHERS = {
    ".copier-answers.yml": BOTH,
    ".env.example": DRIVER,
    ".github/workflows/ci.yml": DRIVER,
    "README.md": BOTH,
    "compose.yaml": DRIVER,
    "docs/connecting.md": DRIVER,
    "deploy/kubernetes/autoscaler.yaml": DRIVER,
    "deploy/kubernetes/network-policy.yaml": DRIVER,
    "docs/database.md": BOTH,
    "docs/engines.md": DRIVER,
    "docs/migrations.md": DRIVER,
    "docs/scaling.md": DRIVER,
    "migrations/script.py.mako": DRIVER,
    "pyproject.toml": BOTH,
}

OTHER_DRIVERS_NAMES = {"asyncpg": r"aiomysql|pymysql", "aiomysql": r"asyncpg"}
OTHER_SERVERS_NAMES = {"asyncpg": r"mysql|mariadb", "aiomysql": r"postgres"}
CONFIGURATION = (".env.example", "compose.yaml", "pyproject.toml", ".github/workflows/ci.yml", ".gitlab-ci.yml")

RAW_JINJA = re.compile(r"(?<!\$)\{\{ |\{%|\{# | #\}|%\}")  # `${{ }}` is GitHub's own, `{{` in Python an f-string's

EXTREMES: dict[str, dict[str, Any]] = {
    "shortest": {"project_name": "ab", "pool_size": 1, "max_overflow": 0, "pool_timeout": 0.001, "pool_recycle": 1},
    "longest": {
        "project_name": "a" * 40,
        "pool_size": 1000,
        "max_overflow": 1000,
        "pool_timeout": 3600.0,
        "pool_recycle": 86400,
    },
    "dashes": {"project_name": "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q-r-s-ts"},
    "all off": {"pool_pre_ping": False, "pool_recycle": -1, "ci": "none"},
    "pooler": {"external_pooler": True, "ci": "gitlab"},
}
HOSTILE = {
    "quotes": 'It\'s "quoted", `ticked` and \'\'\'tripled\'\'\' """twice"""',
    "lines": "First line\nsecond line\r\nthird\n\nlast",
    "jinja": "{{ project_name }} {% raw %} {# no comment #} ${{ secrets.TOKEN }}",
    "backslashes": r"C:\new\table \u0041 \\",
    "trailing backslash": "ends with \\",
    "emoji": "Übergrößenträger 🚀 日本語 👩‍👩‍👧",
    "controls": "tab\tbell\x07delete\x7fnext\x85line\u2028paragraph\u2029end",
    "markup": "<script>alert(1)</script> [link](https://example.com) # heading | cell",
    "yaml": "- yes: no # null",
    "toml": 'x"\n[tool.evil]\nkey = "value',
    "number": "007",
    "word": "true",
    "empty": "",
    "blanks": "  two spaces on both sides  ",
}


def ruff(service: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "ruff", *arguments]
    done = subprocess.run(command, cwd=service, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_template_syntax_is_left(service: Path) -> None:
    assert [name for name, text in files(service).items() if RAW_JINJA.search(name) or RAW_JINJA.search(text)] == []


def test_text_ends_with_one_line_end_and_no_line_with_a_space(service: Path) -> None:
    rendered = {name: text for name, text in files(service).items() if text}
    assert [name for name, text in rendered.items() if not text.endswith("\n") or text.endswith("\n\n")] == []
    assert [name for name, text in rendered.items() if re.search(r"[ \t\r]$", text, re.MULTILINE)] == []
    assert [
        name for name, text in rendered.items() if "\n\n\n" in text and not name.endswith((".py", ".mako", ".md"))
    ] == []
    assert [name for name, text in rendered.items() if "\t" in text and Path(name).name != "Makefile"] == []


def test_empty_files_are_packages(service: Path) -> None:
    assert [name for name, text in files(service).items() if not text and Path(name).name != "__init__.py"] == []


@pytest.mark.parametrize("ci", ["github", "gitlab", "none"])
def test_every_data_file_parses(snapshot: Path, tmp_path: Path, ci: str) -> None:
    service = render(snapshot, tmp_path / NAME, {"ci": ci})
    parsers: dict[str, Callable[[str], object]] = {
        ".toml": tomllib.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load if ci != "gitlab" else lambda text: list(yaml.parse(text)),  # GitLab has tags of its own
        ".json": json.loads,
    }
    for name, text in files(service).items():
        if parse := parsers.get(Path(name).suffix):
            parse(text)


def test_what_only_the_machine_knows_is_not_rendered(service: Path) -> None:
    assert not {".env", "uv.lock"} & {Path(name).name for name in paths(service)}
    assert (service / ".env.example").exists()


def test_the_answers_file_names_the_template_and_every_answer(service: Path, snapshot: Path) -> None:
    assert answers_of(service)["_src_path"] == str(snapshot)
    assert (service / ".copier-answers.yml").read_text().startswith("# ")


def test_the_chosen_driver_and_no_other_is_mentioned(service: Path) -> None:
    driver = answers_of(service)["driver"]
    texts = files(service)
    other = re.compile(OTHER_DRIVERS_NAMES[driver], re.IGNORECASE)
    assert {name: match[0] for name, text in texts.items() if (match := other.search(text))} == {}
    other = re.compile(OTHER_SERVERS_NAMES[driver], re.IGNORECASE)
    assert {n: match[0] for n in CONFIGURATION if (match := other.search(texts.get(n, "")))} == {}


def test_files_differ_only_where_and_by_what_the_lists_say(rendered: Callable[[dict[str, str]], Path]) -> None:
    texts = {(c["driver"], c["access"]): files(rendered(c)) for c in COMBINATIONS}
    found: dict[str, frozenset[str]] = {}
    for name in sorted(set().union(*texts.values())):
        text = {combination: rendering.get(name) for combination, rendering in texts.items()}
        axes = {
            axis
            for axis, index in (("driver", 0), ("access", 1))
            for one in text
            for other in text
            if one[1 - index] == other[1 - index] and text[one] != text[other]
        }
        if axes:
            found[name] = frozenset(axes)
    assert {name: axes for name, axes in found.items() if name.endswith(".py")} == DIFFERENT_PYTHON
    assert {name: axes for name, axes in found.items() if not name.endswith(".py")} == DIFFERENT_OTHERS


def test_no_python_module_depends_on_both_questions() -> None:
    """n + m variants, not n x m; that the list is what is rendered, the test above says."""
    assert [name for name, axes in DIFFERENT_PYTHON.items() if axes == BOTH] == []


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("combination", [COMBINATIONS[0], COMBINATIONS[3]], ids=combination_id)
def test_extreme_answers_render_clean_code(
    snapshot: Path, tmp_path: Path, combination: dict[str, str], name: str
) -> None:
    service = render(snapshot, tmp_path / NAME, combination | EXTREMES[name])
    ruff(service, "check", "--quiet", ".")
    ruff(service, "format", "--check", "--quiet", ".")
    assert (
        tomllib.loads((service / "pyproject.toml").read_text())["project"]["name"]
        == answers_of(service)["project_name"]
    )


def test_every_combination_is_clean(service: Path) -> None:
    ruff(service, "check", "--quiet", ".")
    ruff(service, "format", "--check", "--quiet", ".")


@pytest.mark.parametrize("name", HOSTILE)
def test_any_description_survives_and_stays_text(snapshot: Path, tmp_path: Path, name: str) -> None:
    description = HOSTILE[name]
    service = render(snapshot, tmp_path / NAME, {"description": description})
    project = tomllib.loads((service / "pyproject.toml").read_bytes().decode("utf-8"))
    assert project["project"]["description"] == description
    assert set(project["tool"]) == {"fastapi", "mypy", "pytest", "uv"}
    assert " ".join(description.split()) in " ".join((service / "README.md").read_bytes().decode("utf-8").split())
    assert answers_of(service)["description"] == description, "the next update would render something else"


def test_the_description_goes_into_the_metadata_and_the_readme_only(snapshot: Path, tmp_path: Path) -> None:
    service = render(snapshot, tmp_path / NAME, {"description": "Xylophones by mail"})
    mentioning = {name for name, text in files(service).items() if "Xylophones" in text}
    assert mentioning == {".copier-answers.yml", "README.md", "pyproject.toml"}


def test_the_answers_are_the_defaults_of_the_settings(snapshot: Path, tmp_path: Path) -> None:
    answers = {
        "pool_size": 7,
        "max_overflow": 3,
        "pool_timeout": 2.5,
        "pool_recycle": 99,
        "pool_pre_ping": False,
        "external_pooler": True,
    }
    settings = (render(snapshot, tmp_path / NAME, answers) / "app" / "settings.py").read_text()
    for name, answer in answers.items():
        assert re.search(rf"^    {name}: .*(?:= |\(){answer}(?:, .*)?$", settings, re.MULTILINE), name


def test_rendering_twice_gives_the_same_bytes(service: Path, snapshot: Path, tmp_path: Path) -> None:
    answers = {name: answer for name, answer in answers_of(service).items() if not name.startswith("_")}
    assert files(render(snapshot, tmp_path / NAME, answers)) == files(service)
