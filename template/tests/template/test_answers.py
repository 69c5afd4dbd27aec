"""The answers that were chosen once: an update that changes one would leave a service of two halves."""

import re
from pathlib import Path

import pytest

from app.database import backend, driver

ANSWERS = Path(__file__).parents[2] / ".copier-answers.yml"


@pytest.mark.parametrize(("question", "code"), [("driver", driver.NAME), ("access", backend.NAME)])
def test_the_recorded_answers_are_those_of_the_code(question: str, code: str) -> None:
    if not ANSWERS.exists():
        pytest.skip("this service is no longer updated from its template")
    answer = re.search(rf"^{question}: *(\S+)", ANSWERS.read_text(), re.MULTILINE)
    assert answer, f"{ANSWERS.name} has no {question}: restore it from the commit before, for it is never edited"
    assert answer[1] == code, (
        f"The {question} was chosen once: the code is for {code}, {ANSWERS.name} says {answer[1]}; undo that update."
    )
