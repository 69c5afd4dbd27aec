"""Foreign keys apart from their table, for where they can only be added when that is there."""

from collections.abc import Callable

from alembic.operations import ops
from sqlalchemy import ForeignKeyConstraint


def taken_out(
    table: ops.CreateTableOp, wanted: Callable[[ForeignKeyConstraint], bool] = lambda _: True
) -> list[ops.CreateForeignKeyOp]:
    """Take the keys that are `wanted` out of a new table: what adds them to it."""
    keys = [item for item in table.columns if isinstance(item, ForeignKeyConstraint) and wanted(item)]
    table.columns = [item for item in table.columns if all(item is not key for key in keys)]
    return [ops.CreateForeignKeyOp.from_constraint(key) for key in keys]
