"""The temporary table that rows go to on the server, each with its number."""

from dataclasses import replace

from sqlalchemy import BigInteger, Column, MetaData, Table

from app.database.bulk.rows import Batch
from app.database.unit import Unit

NUMBER = "number_of_bulk_row"


def table_for(unit: Unit, batch: Batch) -> Table:
    """Of another name than the table's own, which it would hide; of no types: the server has them."""
    name = "bulk_rows" + "_" * (unit._seat.depth - 1)
    name += "of_it" * (batch.table.name == name)
    return Table(name, MetaData(), Column(NUMBER, BigInteger), *(Column(column.name) for column in batch.columns))


def numbered(batch: Batch, staging: Table) -> Batch:
    """The rows as they go into it."""
    return replace(batch, table=staging, columns=tuple(staging.columns), values=[list(batch.numbers), *batch.values])
