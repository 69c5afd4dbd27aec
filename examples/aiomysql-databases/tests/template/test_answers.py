"""The answers are Copier's: what is edited by hand there is half an update at best, of which Copier says nothing."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.database import backend, driver

ANSWERS = Path(__file__).parents[2] / ".copier-answers.yml"
RESTORE = "restore the file from the commit before"

SOURCE = "https://git.example.com/platform/template.git"
SAMPLE = f"""\
# Changes here will be overwritten by Copier; never edit by hand
_commit: v1.2.3
_src_path: {SOURCE}
access: orm
ci: github
description: 'One that is quoted, and goes on

  in a second line: with a colon'
driver: {driver.NAME}
external_pooler: false
max_overflow: 10
pool_pre_ping: true
pool_recycle: 3600
pool_size: 10
pool_timeout: 5.0
project_name: orders-api
"""


def number(lowest: float, highest: float, *others: float) -> Callable[[str], bool]:
    def valid(text: str) -> bool:
        try:
            return lowest <= float(text) <= highest or float(text) in others
        except ValueError:
            return False

    return valid


def whole(lowest: int, highest: int, *others: int) -> Callable[[str], bool]:
    return lambda text: text.lstrip("-").isdecimal() and number(lowest, highest, *others)(text)


def one_of(*words: str) -> Callable[[str], bool]:
    return words.__contains__


# Question -> whether an answer is valid, and what is.
QUESTIONS: dict[str, tuple[Callable[[str], bool], str]] = {
    "project_name": (lambda text: re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", text) is not None, "kebab-case"),
    "description": (lambda text: True, "a text"),
    "driver": (lambda text: True, "as the code"),  # compared with it below
    "access": (lambda text: True, "as the code"),
    "pool_size": (whole(1, 1000), "a whole number from 1 to 1000"),
    "max_overflow": (whole(0, 1000), "a whole number from 0 to 1000"),
    "pool_timeout": (number(1e-9, 3600), "more than 0, at most 3600"),
    "pool_recycle": (whole(1, 86400, -1), "-1, or a whole number from 1 to 86400"),
    "pool_pre_ping": (one_of("true", "false"), "true or false"),
    "external_pooler": (one_of("true", "false"), "true or false"),
    "ci": (one_of("github", "gitlab", "none"), "github, gitlab or none"),
}
# A release, so many commits after one, or a commit of a template without releases.
VERSION = re.compile(r"v?\d\S*|\D*\d+\.\d\S*|[0-9a-f]{7,40}")
ADDRESS = re.compile(r"[\w.+-]{2,}:|[^/]+@")  # gh:owner/name, a URL, git@host:path; not C:\template


def recorded(text: str) -> dict[str, str]:
    """The lines `name: answer`; those that go on with a longer text are left out."""
    return {name: answer.strip("'\"") for name, answer in re.findall(r"^(\w+): *(.*?) *$", text, re.MULTILINE)}


def mistakes(text: str) -> list[str]:
    """What Copier would not have written, each in one sentence that says what would be right.

    A service that was rendered from a plain folder has no version, and an example neither version nor source.
    """
    answers = recorded(text)
    source, version = (answers.pop("_src_path", None), answers.pop("_commit", None))
    found = [f"{name} has no question in the template: take it out" for name in answers if name not in QUESTIONS]
    for name, (valid, what) in QUESTIONS.items():
        if name not in answers:
            found.append(f"{name} is missing: {RESTORE}")
        elif not valid(answers[name]):
            found.append(f"{name} must be {what}: else the next update takes the default")
    if source is None and version is not None:
        found.append(f"_src_path is missing, from which updates come: {RESTORE}")
    if source is not None and not re.match(r"[/~]|.*:", source):
        found.append("_src_path is a relative path, which no update finds: write the absolute path or the Git URL")
    if version is not None and not VERSION.fullmatch(version):
        found.append(f"_commit is no version, and an update would take edits for the template's: {RESTORE}")
    if version is None and source is not None and ADDRESS.match(source):
        found.append(f"_commit is missing, the version that an update starts from: {RESTORE}")
    return found


@pytest.fixture
def answers() -> str:
    if not ANSWERS.exists():
        pytest.skip("this service is no longer updated from its template")
    return ANSWERS.read_text("utf-8")


@pytest.mark.parametrize(("question", "code"), [("driver", driver.NAME), ("access", backend.NAME)])
def test_the_recorded_answers_are_those_of_the_code(question: str, code: str, answers: str) -> None:
    answer = recorded(answers).get(question)
    assert answer, f"{ANSWERS.name} has no {question}: {RESTORE}, for it is never edited"
    assert answer == code, (
        f"The {question} was chosen once: the code is for {code}, {ANSWERS.name} says {answer}; undo that update."
    )


def test_the_answers_are_as_copier_wrote_them(answers: str) -> None:
    assert not mistakes(answers), f"{ANSWERS.name} is never edited by hand: {'; '.join(mistakes(answers))}"


@pytest.mark.parametrize(
    "text",
    [
        SAMPLE,
        SAMPLE.replace("v1.2.3", "v1.2.3-4-gabcdef0"),
        SAMPLE.replace("v1.2.3", "abcdef0"),
        SAMPLE.replace(SOURCE, "gh:platform/template"),
        SAMPLE.replace("_commit: v1.2.3\n", "").replace(SOURCE, "/template"),
        SAMPLE.replace("_commit: v1.2.3\n", "").replace(SOURCE, "C:/template"),
        re.sub(r"^_.*\n", "", SAMPLE, flags=re.MULTILINE),
    ],
    ids=["release", "after a release", "without releases", "shortcut", "plain folder", "of Windows", "example"],
)
def test_what_copier_writes_is_no_mistake(text: str) -> None:
    assert mistakes(text) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("_commit: v1.2.3\n", "", "_commit is missing"),
        ("v1.2.3", "main", "_commit is no version"),
        ("v1.2.3", "latest", "_commit is no version"),
        (SOURCE, "../template", "_src_path is a relative path"),
        (f"_src_path: {SOURCE}\n", "", "_src_path is missing"),
        ("pool_size: 10", "pool_sise: 20", "pool_sise has no question in the template"),
        ("pool_size: 10\n", "", "pool_size is missing"),
        ("pool_size: 10", "pool_size: 1001", "pool_size must be a whole number from 1 to 1000"),
        ("pool_size: 10", "pool_size: 2.5", "pool_size must be a whole number from 1 to 1000"),
        ("max_overflow: 10", "max_overflow: -1", "max_overflow must be a whole number from 0 to 1000"),
        ("pool_timeout: 5.0", "pool_timeout: .inf", "pool_timeout must be more than 0, at most 3600"),
        ("pool_timeout: 5.0", "pool_timeout: 0", "pool_timeout must be more than 0, at most 3600"),
        ("pool_recycle: 3600", "pool_recycle: 0", "pool_recycle must be -1, or a whole number from 1 to 86400"),
        ("pool_pre_ping: true", "pool_pre_ping: maybe", "pool_pre_ping must be true or false"),
        ("project_name: orders-api", "project_name: Orders", "project_name must be kebab-case"),
        ("ci: github", "ci: jenkins", "ci must be github, gitlab or none"),
    ],
)
def test_an_edit_by_hand_is_noticed(old: str, new: str, sentence: str) -> None:
    assert old in SAMPLE
    found = mistakes(SAMPLE.replace(old, new))
    assert [mistake for mistake in found if mistake.startswith(sentence)], found
