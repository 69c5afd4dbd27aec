"""INSERT of any number of rows, by the fastest way that the driver has."""

from app.database.backend import Session
from app.database.bulk.columns import Target
from app.database.bulk.rows import Rows, batches
from app.database.bulk.statements import insert
from app.database.bulk.unit import all_or_nothing, apply


async def bulk_insert(session: Session, target: Target, rows: Rows) -> int:
    """Insert rows into a table or a mapped class's table, in the session's transaction; returns how many.

    `rows` are mappings of column names (of attribute names, for a mapped class) to values, in an iterable or an
    asynchronous one, all with the same names; some thousand of them are in memory at a time. Defaults that Python
    makes are added. Raises ValueError for a row with other names, else the errors of an INSERT, whose `row` is the
    index of the row at fault; then none is inserted.
    """
    async with all_or_nothing(session) as (unit, dialect):
        return sum([await apply(unit, batch, insert) async for batch in batches(dialect, target, rows)])
