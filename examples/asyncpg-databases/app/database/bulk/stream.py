"""Reading any number of rows in bounded memory: keyset pages, each in a short read session of its own.

So a long export holds no connection while its client is slow or gone, needs no transaction that outlives the time
limits, and goes on after a restart of the server; a page that is stuck ends at the limits of any statement.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import stamina
from sqlalchemy import Select, and_, or_

from app.database import dialect
from app.database.bulk.columns import Columns, key_of, rows_of
from app.database.database import Database
from app.database.errors import Unavailable

PAGE = 1_000


async def stream(
    database: Database, query: Select[Any], *, key: Columns, page: int = PAGE, primary: bool = False
) -> AsyncIterator[Sequence[Any]]:
    """The rows of `query`, which selects columns, in the order of `key`: lists of up to `page` rows.

    `key` are columns of the query that are unique together and never NULL. A row that is there all the while comes
    once; one that is added, changed or removed meanwhile comes as it is when its page is read, or not. Like any read
    it may use the replica. Raises ValueError for a key that is not unique or of a type that is sorted otherwise than it
    is compared, and for a limit or an offset, else the errors of a SELECT; while the database is unavailable, a page
    that is not the first is asked for again for some seconds.
    """
    unique = key_of(key)
    if unique is None or rows_of(unique) is not None:
        raise ValueError(f"{', '.join(column.key for column in key)} is no key of {key[0].table.name}")
    if query._has_row_limiting_clause:
        raise ValueError("the query has a limit or an offset: they would be those of each page")
    if unlike := ", ".join(column.key for column in key if dialect.sorts_otherwise(column.type)):
        raise ValueError(f"{unlike} cannot be in a key: the server sorts and compares its type in two ways")
    ordered = query.order_by(None).order_by(*key).limit(page)
    selected, last = list(query.selected_columns), tuple[Any, ...]()
    if unfit := ", ".join(column.key for column in key if column.nullable or column not in set(selected)):
        raise ValueError(f"{unfit} cannot be in the key: it may be NULL, or the query does not select it")
    while True:
        async for attempt in stamina.retry_context(on=Unavailable, attempts=6 if last else 1, timeout=None):
            with attempt:
                async with database.read(primary=primary) as session:
                    rows = await session.fetch_all(ordered.where(_after(key, last)) if last else ordered)
        if rows:
            yield rows
        if len(rows) < page:
            return
        reached, last = (last, tuple(rows[-1][selected.index(column)] for column in key))
        if last == reached:
            raise ValueError(f"the key {last} is not the same to the server: the next page would begin there again")


def _after(key: Columns, last: tuple[Any, ...]) -> Any:
    """Not a row comparison, for which some servers walk the whole index."""
    further = (
        and_(*(k == value for k, value in zip(key[:n], last[:n], strict=True)), key[n] > last[n])
        for n in range(len(key))
    )
    return and_(key[0] >= last[0], or_(*further))
