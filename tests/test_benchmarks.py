"""What the pages say of speed is what the last run measured."""

import json

import pytest
from bulk_report import PAGE, page
from report import FILES, RESULTS, Results, blocks, fill


def test_the_pages_show_the_results_of_the_last_run() -> None:
    results = Results(json.loads((RESULTS / "results.json").read_text("utf-8")))
    content = blocks(results)
    stale = [file.name for file in FILES if fill(file.read_text("utf-8"), content) != file.read_text("utf-8")]
    assert stale == [], "make bench writes them; `run.py --report` from the results that there are"


def test_the_page_of_bulk_shows_the_results_of_its_last_run() -> None:
    assert page(json.loads((RESULTS / "bulk.json").read_text("utf-8"))) == PAGE.read_text("utf-8")


@pytest.mark.parametrize("name", ["machine", "goals", "throughput", "latency", "cost", "profile", "overload", "pool"])
def test_each_table_has_its_place_on_a_page(name: str) -> None:
    assert any(f"<!-- bench: {name} -->" in file.read_text("utf-8") for file in FILES)
