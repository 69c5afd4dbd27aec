"""Tables that refer to one another: a foreign key to a table that comes later is added when all of them are there, and
goes before the first of them does.
"""

from alembic.operations import ops
from sqlalchemy import ForeignKeyConstraint

from migrations.foreign_keys import taken_out

_Table = tuple[str | None, str]


def untangle(script: ops.MigrationScript) -> None:
    assert script.upgrade_ops
    assert script.downgrade_ops
    forth, back = script.upgrade_ops.ops, script.downgrade_ops.ops
    _untangle(forth, back)
    _untangle(back, forth)


def _untangle(making: list[ops.MigrateOperation], dropping: list[ops.MigrateOperation]) -> None:
    tables = [op for op in making if isinstance(op, ops.CreateTableOp)]
    later: set[_Table] = {(table.schema, table.table_name) for table in tables}
    keys: list[ops.CreateForeignKeyOp] = []
    for table in tables:
        later.discard((table.schema, table.table_name))
        keys += taken_out(table, lambda key: _target(key) in later)
    making += keys
    dropping[:0] = [key.reverse() for key in keys]


def _target(key: ForeignKeyConstraint) -> _Table:
    schema, _, name = key.elements[0].target_fullname.rpartition(".")[0].rpartition(".")
    return schema or None, name
