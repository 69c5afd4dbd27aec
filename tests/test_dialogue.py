"""The dialogue of `copier copy` as a person has it, in a terminal of 80 columns: nothing is cut, nothing is wrapped,
and what is refused is refused with what would be right.
"""

import sys
from pathlib import Path

import pytest
from dialogue import Terminal, in_terminal
from harness import NAME, QUESTIONS, answers_of, render

CLEAR, DOWN, ENTER = "\x15", "\x1b[B", "\r"
WIDEST = 78

BAD: dict[str, list[tuple[str, str]]] = {
    "project_name": [("Orders", "Use kebab-case, like orders-api."), ("a" * 41, "Use at most 40 characters.")],
    "pool_size": [("0", "Give a whole number, 1 to 1000."), ("1001", "Give a whole number, 1 to 1000.")],
    "max_overflow": [("-1", "Give a whole number, 0 to 1000.")],
    "pool_timeout": [("0", "Give more than 0, at most 3600."), ("nan", "Give more than 0, at most 3600.")],
    "pool_recycle": [("0", "Give -1, or 1 to 86400 seconds.")],
}
# What is no number at all Copier refuses in its own words, which do not say what would be right: the question does.
NO_NUMBER = "Invalid input"
RANGES = {
    "pool_size": "From 1 to 1000.",
    "max_overflow": "From 0 to 1000.",
    "pool_timeout": "More than 0, at most 3600",
    "pool_recycle": "from 1 to 86400.",
}
GOOD = {
    "project_name": "a" * 40,
    "description": "It sells.",
    "driver": DOWN,
    "access": DOWN,
    "pool_size": "1000",
    "max_overflow": "0",
    "pool_timeout": "0.5",
    "pool_recycle": "-1",
    "pool_pre_ping": "n",
    "external_pooler": "y",
    "ci": DOWN,
}
ANSWERS = {
    **GOOD,
    "driver": "aiomysql",
    "access": "databases",
    "pool_size": 1000,
    "max_overflow": 0,
    "pool_timeout": 0.5,
    "pool_recycle": -1,
    "pool_pre_ping": False,
    "external_pooler": True,
    "ci": "gitlab",
}


def width(line: str) -> int:
    return len(line) + line.count("🎤")


def asked(terminal: Terminal, name: str) -> None:
    """The question is shown whole: each line of its text and each choice has a row of its own."""
    question = QUESTIONS[name]
    help = question["help"].strip().splitlines()
    choices = list(question.get("choices", {}))
    rows = [row.lstrip("🎤» ") for row in terminal.until(help[0], (choices or help)[-1])]
    assert [line for line in [*help, *choices] if line not in rows] == [], "\n".join(rows)


def refused(terminal: Terminal, name: str) -> None:
    for answer, message in BAD.get(name, []):
        terminal.type(CLEAR + answer + ENTER)
        whole = f"Validation error for question '{name}': {message}"
        assert whole in terminal.until(whole)
    if name in RANGES:
        terminal.type(f"{CLEAR}some{ENTER}")
        rows = terminal.until(NO_NUMBER)
        assert [row for row in rows if RANGES[name] in row], "\n".join(rows)


def answered(terminal: Terminal, name: str) -> None:
    keys = GOOD[name]
    if "choices" in QUESTIONS[name]:
        terminal.type(keys + ENTER)
    elif QUESTIONS[name]["type"] == "bool":
        terminal.type(keys)
    else:
        terminal.type(CLEAR + keys + ENTER)


def test_the_dialogue_fits_a_terminal_of_80_columns_and_says_what_is_valid(snapshot: Path, tmp_path: Path) -> None:
    """By a relative path, so that the message at its end is the longest."""
    (tmp_path / "template").symlink_to(snapshot)
    with in_terminal([sys.executable, "-m", "copier", "copy", "template", NAME], tmp_path) as terminal:
        for name in QUESTIONS:
            asked(terminal, name)
            refused(terminal, name)
            answered(terminal, name)
        rows = terminal.end()
    assert [row for row in rows if width(row) > WIDEST] == []
    assert [row for row in rows if "cannot be updated yet" in row]
    recorded = answers_of(tmp_path / NAME)
    assert {name: recorded[name] for name in ANSWERS} == ANSWERS


@pytest.mark.parametrize("name", ["driver", "access", "ci"])
def test_the_command_line_refuses_a_choice_with_those_that_there_are(snapshot: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared below)
        render(snapshot, tmp_path / "service", {name: "other"})
    assert str(caught.value).endswith(f"'other' is not in {list(QUESTIONS[name]['choices'].values())}")
