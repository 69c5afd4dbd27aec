"""How instants come from PostgreSQL, and how it moves one by a duration and takes two from one another: as SQLAlchemy
writes it.
"""

from datetime import datetime
from typing import Any

from app.database.errors import UnreadableValue


def received(value: datetime | None) -> datetime | None:
    """What a column holds, as asyncpg gives it: in UTC. Raises UnreadableValue for infinity."""
    if value is not None and value.tzinfo is None:
        raise UnreadableValue("A time is infinity, which names no instant: store NULL instead")
    return value


def literal(instant: datetime | None) -> str:
    """As it stands in a statement: of its own type, which a text has none of."""
    return "NULL" if instant is None else f"'{instant}'::timestamptz"


def moved(expression: Any) -> Any:
    """An instant plus or minus a duration, for the operator between the two."""
    return expression


def between(expression: Any) -> Any:
    """The duration for an instant minus an instant."""
    return expression
