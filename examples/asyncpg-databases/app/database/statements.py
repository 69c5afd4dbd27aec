"""What a text of SQL is, decided once for each: what may run in a session follows from its words, not from how it was
made. Comments, strings and quoted names have none.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from hashlib import sha256
from typing import Any, TypeVar

from sqlalchemy.util import LRUCache

from app.database import dialect
from app.database.errors import ReadOnlySession, StatementRefused

_WORD = re.compile(r"(?<![\w.$])[^\W\d]\w*|[;(]")  # what follows a dot is a column
CALLED = re.compile(r"([\w$]+) ?\(")  # also a word before a bracket
_CHANGING = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"})
_WRITING = {"WITH": _CHANGING, "ANALYZE": _CHANGING | {"CREATE", "REFRESH", "EXECUTE"}}  # what may come after them
_FUNCTIONS = ("INSERT(", "REPLACE(")
_LITERAL = re.compile(rf"{dialect.NO_WORDS.pattern}|(?<![\w$%])\d[\w.]*|'.*", dialect.NO_WORDS.flags)
_TABLE = re.compile(  # not FOR UPDATE, DO UPDATE, ON DUPLICATE KEY UPDATE
    r"""\b(?:FROM|JOIN|INTO|TABLE|(?<!FOR )(?<!KEY )(?<!DO )UPDATE) +(?:ONLY +)?([\w.$"`]+)""", re.IGNORECASE
)
_TEXT, _SUMMARY = (10_000, 255)  # characters, of a statement that is shown and of its summary
_REMEMBERED, _SHORT = (1000, 2_000)  # texts, and up to how many characters they are kept as they are
_BEFORE_OTHERS = ("FOR", "KEY", "AS")  # FOR UPDATE, FOR NO KEY UPDATE; what follows AS is a name
_UNIT = ("BEGIN", "START", "COMMIT", "ROLLBACK", "END", "ABORT", "XA")


T = TypeVar("T")


def _remembered(decide: Callable[[str], T]) -> Callable[[str], T]:
    """Of a long text its digest is kept: made for so many values, one may take megabytes, and never come again."""
    short, long = (lru_cache(_REMEMBERED)(decide), LRUCache[bytes, T](_REMEMBERED))

    @wraps(decide)
    def of(statement: str) -> T:
        if len(statement) <= _SHORT:
            return short(statement)
        digest = sha256(statement.encode(errors="surrogatepass")).digest()
        known = long.get(digest)
        if known is None:
            known = long[digest] = decide(statement)
        return known

    return of


@dataclass(frozen=True, slots=True)
class Kind:
    """What a statement does: `reads` and nothing else, is `refused` unless it is this package's, `stays` with the
    session, which savepoint it goes back to; and which functions it `calls`, in capitals.
    """

    reads: bool
    refused: bool
    stays: bool
    returns_to_savepoint: bool
    local_by: tuple[int, ...]  # the arguments that have to be True, else it stays
    calls: frozenset[str]

    def leaves_state(self, rows: Iterable[Sequence[Any]]) -> bool:
        """With these arguments."""
        return self.stays or any(row[n] is not True for n in self.local_by for row in rows)


@_remembered
def kind_of(statement: str) -> Kind:
    """Raises StatementRefused for several statements in one text, and for one that begins or ends a transaction."""
    code = _code_of(statement, _without_words)
    words = _WORD.findall(code)
    if ";" in words:
        raise StatementRefused("Several statements in one text: send them one by one")
    code = code.lstrip("( ")
    first = next((word for word in words if word != "("), "")
    returns = first == "ROLLBACK" and "TO" in words[1:3]
    if (first in _UNIT and not returns) or words[:2] == ["PREPARE", "TRANSACTION"]:
        raise StatementRefused(f"{first}: the unit of work begins and ends its transaction itself")
    named = code_with_names(statement)
    refused = dialect.REFUSED.match(named) is not None
    local_by = tuple(int(n) - 1 for n in dialect.LOCAL_BY.findall(named))
    return Kind(_reads(first, words), refused, stays(named), returns, local_by, frozenset(CALLED.findall(named)))


def code_with_names(statement: str) -> str:
    """In capitals, without comments and strings; a function is the same by its name in quotes."""
    return _code_of(statement, _names_alone).lstrip("( ")


def stays(code: str) -> bool:
    """Whether what it does is there when the transaction is over."""
    return dialect.STAYING.search(dialect.LOCAL_BY.sub("", code)) is not None


def _code_of(statement: str, instead: Callable[[re.Match[str]], str]) -> str:
    """In capitals, with a space between words; `instead` of a comment, a string or a name in quotes."""
    return " ".join(dialect.NO_WORDS.sub(instead, statement).upper().split()).strip("; ")


def _without_words(found: re.Match[str]) -> str:
    return " " if found[0][0] in "-/#*" else "''"  # a comment, a string or a name


def _names_alone(found: re.Match[str]) -> str:
    if found[0][0] != dialect.QUOTE:
        return _without_words(found)
    name = found[0][1:-1] if found[0][1:-1].isidentifier() else "''"
    return name if found.string[found.start() - 1] in ".@" else f" {name} "  # SELECT"f"() needs no space


def _reads(first: str, words: list[str]) -> bool:
    """Nothing is written after WITH, into a table or a file, or by what is explained and run."""
    if first not in dialect.READING or "INTO" in words:
        return False
    return not any(
        word in writing and before not in _BEFORE_OTHERS and word + after not in _FUNCTIONS
        for introduction, writing in _WRITING.items()
        if introduction in words
        for before, word, after in zip(words, words[1:], [*words[2:], ""], strict=False)
    )


@_remembered
def described(statement: str) -> tuple[str, str, str | None]:
    """What may be shown of a statement: its operation, that with its tables, and its text with `?` for each literal;
    no text where it is very long.
    """
    text = " ".join(_LITERAL.sub(_without_literals, statement).split())
    operation = next(iter(_WORD.findall(text.lstrip("( "))), "").upper()
    summary = " ".join(dict.fromkeys([operation, *_TABLE.findall(text)]))
    return operation, summary[:_SUMMARY], text if len(text) <= _TEXT else None


def _without_literals(found: re.Match[str]) -> str:
    """A name in quotes stays."""
    return found[0] if found[0][0] == dialect.QUOTE else " " if found[0][0] in "-/#*" else "?"


def refuse_write(kind: Kind, by_cursor: bool) -> None:
    """What a read session may run is what reads; the server refuses what passes here, such as FOR UPDATE."""
    if not kind.reads:
        raise ReadOnlySession
    if by_cursor:
        raise StatementRefused("A read session has no transaction for a cursor on the server: stream in a transaction")
    if kind.stays or kind.local_by:
        raise StatementRefused(f"A read session keeps nothing between statements: use a transaction{dialect.KEEPING}")
