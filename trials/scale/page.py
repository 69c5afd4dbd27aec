"""docs/scale.md, generated: one table of all clusters, with what each number means."""

from collections.abc import Sequence
from typing import Any

from harness import ROOT

from scale.rows import COUNTS, Row

PAGE = ROOT / "docs" / "scale.md"
RESULTS = ROOT / "trials" / "results" / "scale.json"
COLUMNS = ("cluster", "trial", "service", *COUNTS, "longest_wait", "recovery", "result")
HEADER = """# On clusters

What `make scale` found: rendered services on clusters of real servers, each started by itself on one machine of two
cores, with a client that keeps books of every acknowledged write and compares them with the tables at the end. This
page is generated. What to set for each of these is in a service's `docs/scaling.md`.

"""
FOOTER = """
Acknowledged: writes that were answered 2xx. Unknown: writes without an answer, or with one that leaves open whether
they took place. Lost: acknowledged and not stored. Stored though refused: answered 4xx, 503 or 504, and stored. Wrong
answers: another row's values, or a row that is not there after its write was acknowledged. Unmapped: a 5xx other than
503 and 504, or one that is no problem document. Leaked: connections in use or in a transaction after the end. Longest
wait: of any request, in seconds. Recovery: seconds from the moment when the server could be written to again to the
first acknowledged write. A dash: not a trial of that kind.
"""


def table(rows: Sequence[Row]) -> str:
    lines = [[name.replace("_", " ") for name in COLUMNS], ["---"] * len(COLUMNS), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def page(rows: Sequence[Row]) -> str:
    return f"{HEADER}{table(rows)}\n{FOOTER}"


def _cells(row: Row) -> list[str]:
    numbers = [_number(row.numbers.get(name)) for name in (*COUNTS, "longest_wait", "recovery")]
    result = f"**{row.failed}**" if row.failed else row.said or "as promised"
    return [row.cluster, row.trial, row.service, *numbers, result.replace("\n", " ").replace("|", r"\|")]


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else f"{value:,}"
