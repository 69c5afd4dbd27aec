"""examples/ is what the working tree renders, and names no machine."""

import re

from harness import COMBINATIONS, combination_id, files

import examples


def test_the_examples_are_up_to_date() -> None:
    assert examples.stale(examples.EXAMPLES) == [], "run make examples"


def test_the_examples_name_no_folder_of_the_machine_that_rendered_them() -> None:
    local, recorded = r"/(?:tmp|home|Users)/(?!\.)", r"|^_(?:src_path|commit):"
    found = {}
    for name, text in files(examples.EXAMPLES).items():
        if match := re.search(local + recorded * name.endswith(".copier-answers.yml"), text, re.MULTILINE):
            found[name] = match[0]
    assert found == {}


def test_the_index_links_every_combination_and_every_file_that_differs() -> None:
    text = (examples.EXAMPLES / "README.md").read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert {combination_id(combination) for combination in COMBINATIONS} <= set(links)
    assert [link for link in links if not (examples.EXAMPLES / link).exists()] == []
    assert "| `pyproject.toml` | [A](" in text
