"""Isolation levels, in the words of the SQL standard. READ UNCOMMITTED is left out on purpose: PostgreSQL has none,
and on MySQL it shows rows that are never committed.
"""

from typing import Literal

IsolationLevel = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
