"""The questions are an API: their names, order, types, values, ranges and defaults are those of the contract."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import QUESTIONS, ROOT, answers_of, render

POOL_MAXIMUM = 1000
COLUMNS = 78

CONTRACT: dict[str, dict[str, Any]] = {
    "project_name": {"type": "str"},
    "description": {"type": "str", "default": "An asynchronous FastAPI service."},
    "driver": {"type": "str", "choices": ["asyncpg", "aiomysql"], "default": "asyncpg"},
    "access": {"type": "str", "choices": ["orm", "databases"], "default": "orm"},
    "pool_size": {"type": "int", "default": 10},
    "max_overflow": {"type": "int", "default": 10},
    "pool_timeout": {"type": "float", "default": 5},
    "pool_recycle": {"type": "int", "default": 3600},
    "pool_pre_ping": {"type": "bool", "default": True},
    "external_pooler": {"type": "bool", "default": False},
    "ci": {"type": "str", "choices": ["github", "gitlab", "none"], "default": "github"},
}

KEBAB_CASE = "Use kebab-case, like orders-api."
TAKEN = "It needs a package of that name."
SECONDS = "Give more than 0, at most 3600."
BAD_NAMES = ["", "Orders", "orders_api", "orders api", "-orders", "orders-", "orders--api", "1orders", "über"]
BAD_ANSWERS: list[tuple[str, Any, str]] = [
    *(("project_name", name, KEBAB_CASE) for name in [*BAD_NAMES, "orders\n", "orders\napi"]),
    ("project_name", "a" * 41, "Use at most 40 characters."),
    *(("project_name", name, "YAML takes that for a value.") for name in ("no", "null", "on", "true")),
    *(("project_name", name, "Servers have such a database.") for name in ("mysql", "sys", "template1")),
    *(("project_name", name, TAKEN) for name in ("fastapi", "databases", "pydantic", "typing-extensions")),
    *(("driver", driver, "Invalid choice for 'driver'") for driver in ("sqlite", "asyncmy", "AsyncPG")),
    *(("access", access, "Invalid choice for 'access'") for access in ("core", "sqlmodel")),
    *(("pool_size", number, "Give a whole number, 1 to 1000.") for number in (0, -1, 1001)),
    *(("max_overflow", number, "Give a whole number, 0 to 1000.") for number in (-1, 1001)),
    *(("pool_timeout", number, SECONDS) for number in (0, -1, 3601, 3600.5, "inf", "-inf", "nan")),
    *(("pool_recycle", number, "Give -1, or 1 to 86400 seconds.") for number in (0, -2, 86401)),
    ("ci", "jenkins", "Invalid choice for 'ci'"),
]
GOOD_ANSWERS: list[tuple[str, Any]] = [
    *(("project_name", name) for name in ("a", "ab", "orders", "orders-api-2", "a1-b2-c3", "a" * 40)),
    *(("pool_size", number) for number in (1, POOL_MAXIMUM)),
    *(("max_overflow", number) for number in (0, POOL_MAXIMUM)),
    *(("pool_timeout", number) for number in (0.001, 0.5, 3600.0)),
    *(("pool_recycle", number) for number in (-1, 1, 86400)),
    *((name, answer) for name in ("pool_pre_ping", "external_pooler") for answer in (True, False)),
]


def copier(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "copier", *arguments]
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False)


def values(question: dict[str, Any]) -> list[str]:
    choices = question["choices"]
    return list(choices.values() if isinstance(choices, dict) else choices)


def test_the_questions_are_those_of_the_contract_in_its_order() -> None:
    assert list(QUESTIONS) == list(CONTRACT)


@pytest.mark.parametrize("name", CONTRACT)
def test_a_question_has_the_type_the_values_and_the_default_of_the_contract(name: str) -> None:
    question, contract = QUESTIONS[name], CONTRACT[name]
    assert question["type"] == contract["type"]
    assert ("choices" in question) == ("choices" in contract)
    if "choices" in contract:
        assert values(question) == contract["choices"]
    assert ("default" in question) == ("default" in contract), "only the name has no default"
    assert question.get("default") == contract.get("default")
    assert "when" not in question, "an answer that is not recorded is lost at the next update"


@pytest.mark.parametrize("name", CONTRACT)
def test_a_question_says_what_it_asks_and_what_the_answer_costs(name: str) -> None:
    question, *consequences = QUESTIONS[name]["help"].strip().splitlines()
    assert question.rstrip(")").endswith(("?", "never")), "the first line is the question"
    assert consequences, "a line that says what follows from the answer"


@pytest.mark.parametrize("name", ["pool_size", "max_overflow"])
def test_the_questions_for_connections_give_the_budget_of_the_server(name: str) -> None:
    assert "workers x (pool_size + max_overflow)" in QUESTIONS[name]["help"]


@pytest.mark.parametrize("name", ["driver", "access"])
def test_the_questions_that_are_answered_once_say_so(name: str) -> None:
    assert "Chosen once" in QUESTIONS[name]["help"]


def test_nobody_ever_needs_to_trust_the_template() -> None:
    settings = yaml.safe_load((ROOT / "copier.yml").read_text())
    assert not settings.keys() & {"_tasks", "_jinja_extensions", "_migrations"}


def test_no_answer_is_a_secret() -> None:
    settings = yaml.safe_load((ROOT / "copier.yml").read_text())
    assert "_secret_questions" not in settings
    assert not [name for name, question in QUESTIONS.items() if question.get("secret")]


def test_the_message_of_a_bad_answer_fits_the_line_that_the_terminal_has_for_it() -> None:
    """tests/test_dialogue.py looks at one of each; here they are all."""
    for name, question in QUESTIONS.items():
        for message in re.findall(r"%\}\s*([^{}]+?)\s*\{%", question.get("validator", "")):
            shown = f"Validation error for question '{name}': {message}"
            assert len(shown) <= COLUMNS, f"Copier shows one line, and cuts it: {shown}"


@pytest.mark.parametrize("name", CONTRACT)
def test_no_line_of_a_question_is_wrapped_by_the_terminal(name: str) -> None:
    first, *others = QUESTIONS[name]["help"].strip().splitlines()
    assert [line for line in (f"🎤  {first}", *others) if len(line) > COLUMNS] == []


@pytest.mark.parametrize(("name", "answer", "message"), BAD_ANSWERS, ids=lambda value: repr(value)[:24])
def test_a_bad_answer_is_refused_and_nothing_is_written(
    snapshot: Path, tmp_path: Path, name: str, answer: Any, message: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared below, without regular expressions)
        render(snapshot, tmp_path / "service", {name: answer})
    assert str(caught.value).strip().splitlines()[-1].find(message) >= 0
    assert not (tmp_path / "service").exists()


ONE_OF_EACH = {name: (name, answer, message) for name, answer, message in BAD_ANSWERS}.values()


@pytest.mark.parametrize(("name", "answer", "message"), ONE_OF_EACH, ids=lambda value: repr(value)[:24])
def test_the_command_line_ends_a_bad_answer_with_one_sentence(
    snapshot: Path, tmp_path: Path, name: str, answer: Any, message: str
) -> None:
    data = {"project_name": "orders-api", name: answer}
    options = [option for key, value in data.items() for option in ("--data", f"{key}={value}")]
    done = copier("copy", "--defaults", *options, str(snapshot), "service", cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr.rstrip().splitlines()[-1]
    assert not (tmp_path / "service").exists()


def test_the_name_is_required(snapshot: Path, tmp_path: Path) -> None:
    done = copier("copy", "--defaults", str(snapshot), "service", cwd=tmp_path)
    assert done.returncode == 1
    assert 'Question "project_name" is required' in done.stderr.rstrip().splitlines()[-1]
    assert not (tmp_path / "service").exists()


def test_a_service_knows_the_questions_that_its_answers_are_for() -> None:
    text = (ROOT / "template" / "tests" / "template" / "test_answers.py").read_text("utf-8")
    (known,) = re.findall(r"^QUESTIONS: .*?^}", text, re.MULTILINE | re.DOTALL)
    assert re.findall(r'^    "(\w+)":', known, re.MULTILINE) == list(CONTRACT)


def test_no_service_can_have_the_name_of_a_package_that_it_requires() -> None:
    refused = set(re.findall(r"[\w-]+", str(QUESTIONS["project_name"]["validator"])))
    for pyproject in (ROOT / "examples").glob("*/pyproject.toml"):
        project = tomllib.loads(pyproject.read_text("utf-8"))
        groups = project["dependency-groups"].values()
        wanted = [*project["project"]["dependencies"], *(each for group in groups for each in group)]
        assert {re.split(r"[^\w-]", each)[0] for each in wanted if isinstance(each, str)} <= refused


@pytest.mark.parametrize(("name", "answer"), GOOD_ANSWERS)
def test_the_ends_of_each_range_are_accepted_and_recorded(
    snapshot: Path, tmp_path: Path, name: str, answer: Any
) -> None:
    assert answers_of(render(snapshot, tmp_path / "service", {name: answer}))[name] == answer


def test_every_answer_is_recorded_so_that_an_update_keeps_it(service: Path) -> None:
    recorded = answers_of(service)
    assert {name for name in recorded if not name.startswith("_")} == set(CONTRACT)


@pytest.mark.parametrize("named_by", ["its path", "a relative path", "the path of an archive"])
def test_the_message_after_copy_says_how_to_go_on(versioned: Path, tmp_path: Path, named_by: str) -> None:
    (tmp_path / "template").symlink_to(versioned)
    shutil.copytree(versioned, tmp_path / "archive", ignore=shutil.ignore_patterns(".git"))
    source = {"a relative path": "template", "its path": str(versioned)}.get(named_by, str(tmp_path / "archive"))
    done = copier("copy", "--defaults", "--data", "project_name=orders-api", source, "orders-api", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for command in ("cd orders-api", "git init", "uv sync", "uv run pytest", "make dev"):
        assert command in done.stderr
    assert ("cannot be updated yet" in done.stderr) == (named_by == "a relative path")
    assert ("git could not read the template" in done.stderr) == (named_by == "the path of an archive")
