"""Python-side defaults of Core statements, which the `databases` library drops: it stores NULL instead."""

from typing import Any

from sqlalchemy import Insert, Update
from sqlalchemy.sql import ClauseElement


def with_defaults(query: ClauseElement) -> ClauseElement:
    """The statement with the values that its table makes in Python. Raises ValueError where it cannot add them."""
    if not isinstance(query, Insert | Update):
        return query
    given = {getattr(column, "key", column) for column in query._values or ()}
    missing: dict[str, Any] = {}
    for column in query.table.columns:
        default: Any = column.default if isinstance(query, Insert) else column.onupdate
        if column.key not in given and default is not None and (default.is_scalar or default.is_callable):
            missing[column.key] = default.arg(None) if default.is_callable else default.arg
    if not missing:
        return query
    if isinstance(query, Insert) and (query._multi_values or query.select is not None):
        names = ", ".join(missing)
        raise ValueError(f"an INSERT of several rows has no Python-side defaults here: give each row its {names}")
    return query.values(missing)
