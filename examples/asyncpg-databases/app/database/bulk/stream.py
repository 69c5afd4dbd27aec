"""Reading any number of rows in bounded memory: keyset pages, each in a short read session of its own.

So a long export holds no connection while its client is slow or gone, needs no transaction that outlives the time
limits, and goes on after a restart of the server; a page that is stuck ends at the limits of any statement.
"""

from collections.abc import AsyncIterator, Sequence
from operator import eq, itemgetter
from typing import Any

import stamina
from sqlalchemy import Select, and_, literal, or_

from app.database import dialect
from app.database.bulk.columns import Attributes, Columns, key_of, plain, rows_of
from app.database.database import Database
from app.database.errors import Unavailable

PAGE = 1_000


async def stream(
    database: Database, query: Select[Any], *, key: Attributes, page: int = PAGE, primary: bool = False
) -> AsyncIterator[Sequence[Any]]:
    """The rows of `query`, which selects columns, in the order of `key`: lists of up to `page` rows.

    `key` are columns of the query, of one table or mapped class, that are unique together in its rows and never NULL. A
    row that is there all the while comes once; one that is added, changed or removed meanwhile comes as it is when its
    page is read, or not. Like any read it may use the replica. Raises ValueError for a key that is not unique or of a
    type that is sorted otherwise than it is compared, and for a limit or an offset, else the errors of a SELECT; while
    the database is unavailable, a page that is not the first is asked for again for some seconds.
    """
    columns = plain(key)
    _check(query, columns, page)
    ordered = query.order_by(None).order_by(*columns).limit(page)
    selected, last = list(query.selected_columns), tuple[Any, ...]()
    key_in = itemgetter(*(selected.index(column) for column in columns))
    while True:
        async for attempt in stamina.retry_context(on=Unavailable, attempts=6 if last else 1, timeout=None):
            with attempt:
                async with database.read(primary=primary) as session:
                    rows = await session.fetch_all(ordered.where(_after(columns, last)) if last else ordered)
        keys = [key_in(row._data) for row in rows]
        if any(map(eq, keys, keys[1:])):  # of which a page could end with the first, and the next one begin behind
            raise ValueError("the query has several rows of one key: what it joins has columns that belong to it")
        if rows:
            yield rows
        if len(rows) < page:
            return
        reached, last = last, keys[-1] if len(columns) > 1 else (keys[-1],)
        if last == reached:
            raise ValueError(f"the key {last} is not the same to the server: the next page would begin there again")


def _check(query: Select[Any], key: Columns, page: int) -> None:
    if not isinstance(query, Select) or page < 1:
        raise ValueError("stream reads a select(), in pages of at least one row")
    unique = key_of(key)
    if unique is None or rows_of(unique) is not None:
        raise ValueError(f"{', '.join(column.key for column in key)} is no key of {key[0].table.name}")
    if query._has_row_limiting_clause:
        raise ValueError("the query has a limit or an offset: they would be those of each page")
    if unlike := ", ".join(column.key for column in key if dialect.sorts_otherwise(column.type)):
        raise ValueError(f"{unlike} cannot be in a key: the server sorts and compares its type in two ways")
    selected = set(query.selected_columns)
    if unfit := ", ".join(column.key for column in key if column.nullable or column not in selected):
        raise ValueError(f"{unfit} cannot be in the key: it may be NULL, or the query does not select it")


def _after(key: Columns, last: tuple[Any, ...]) -> Any:
    """Not a row comparison, for which some servers walk the whole index."""
    values = [literal(value, column.type) for value, column in zip(last, key, strict=True)]  # True has no > of its own
    further = (and_(*map(eq, key[:n], values[:n]), key[n] > values[n]) for n in range(len(key)))
    return and_(key[0] >= values[0], or_(*further))
