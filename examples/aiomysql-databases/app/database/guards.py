"""A read session refuses to write before anything is sent. The server refuses what passes here, a function that writes
or SELECT ... FOR UPDATE, since connections are read-only outside a transaction.
"""

from sqlalchemy.schema import DDLElement
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import TextClause

from app.database.errors import ReadOnlySession

_READING_WORDS = frozenset({"SELECT", "WITH", "SHOW", "EXPLAIN"})


def refuse_write(statement: ClauseElement) -> None:
    """Raises ReadOnlySession for INSERT, UPDATE, DELETE, DDL, and text that does not begin with a reading word."""
    if isinstance(statement, TextClause):
        writes = not _READING_WORDS.intersection(statement.text.upper().split(None, 1)[:1])
    else:
        writes = isinstance(statement, UpdateBase | DDLElement)
    if writes:
        raise ReadOnlySession
