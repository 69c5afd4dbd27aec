"""How PostgreSQL moves an instant by a duration, and takes two from one another: as SQLAlchemy writes it."""

from typing import Any


def moved(expression: Any) -> Any:
    """An instant plus or minus a duration, for the operator between the two."""
    return expression


def between(expression: Any) -> Any:
    """The duration for an instant minus an instant."""
    return expression
