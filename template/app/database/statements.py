"""What a text of SQL is, decided once for each: what may run in a session follows from its words, not from how it was
made. Comments, strings and quoted names have none.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from app.database import dialect
from app.database.errors import ReadOnlySession, StatementRefused

_WORD = re.compile(r"[^\W\d]\w*|[;(]")
_WRITING = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
_LOCKING = ("FOR", "KEY")  # FOR UPDATE, FOR NO KEY UPDATE; REPLACE( and INSERT( are functions
_UNIT = ("BEGIN", "START", "COMMIT", "ROLLBACK", "END", "ABORT", "XA")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a statement does: `reads` and nothing else, `stays` with the session, which `savepoint` it goes back to."""

    reads: bool
    stays: bool
    returns_to_savepoint: bool


@lru_cache(1000)
def kind_of(statement: str) -> Kind:
    """Raises StatementRefused for several statements in one text, and for one that begins or ends a transaction."""
    code = dialect.NO_WORDS.sub("''", statement).upper()
    words = _WORD.findall(code.rstrip("; \n\t\r"))
    if ";" in words:
        raise StatementRefused("Several statements in one text: send them one by one")
    first = next((word for word in words if word != "("), "")
    returns = words[:2] == ["ROLLBACK", "TO"] or words[:3] == ["ROLLBACK", "WORK", "TO"]
    if first in _UNIT and not returns:
        raise StatementRefused(f"{first}: the unit of work begins and ends its transaction itself")
    return Kind(_reads(first, words), dialect.STAYING.search(code.strip(" (\n\t\r'")) is not None, returns)


def _reads(first: str, words: list[str]) -> bool:
    """Nothing is written in a subquery, after WITH, into a table or a file, or by what is explained and run."""
    if first not in dialect.READING or "INTO" in words:
        return False
    anywhere = first == "WITH" or (first == "EXPLAIN" and "ANALYZE" in words)
    return not any(
        word in _WRITING and after != "(" and (before == "(" or (anywhere and before not in _LOCKING))
        for before, word, after in zip(words, words[1:], [*words[2:], ""], strict=False)
    )


def refuse_write(kind: Kind, by_cursor: bool) -> None:
    """What a read session may run is what reads; the server refuses what passes here, such as FOR UPDATE."""
    if not kind.reads:
        raise ReadOnlySession
    if kind.stays or by_cursor:
        raise StatementRefused(
            "A read session keeps nothing between statements: use a transaction, and SET LOCAL there"
        )
