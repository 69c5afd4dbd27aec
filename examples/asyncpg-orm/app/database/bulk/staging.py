"""The temporary table that rows go to on the server, each with its number."""

from dataclasses import replace

from sqlalchemy import BigInteger, Column, MetaData, Table, UniqueConstraint

from app.database.bulk.columns import Columns
from app.database.bulk.rows import Batch

NUMBER = "number_of_bulk_row"


def table_for(batch: Batch, unique: Columns = ()) -> Table:
    """Of another name than the table's own, which it would hide; of no types: the server has them."""
    name = "bulk_rows" + "_" * (batch.table.name == "bulk_rows")
    table = Table(name, MetaData(), Column(NUMBER, BigInteger), *(Column(column.name) for column in batch.columns))
    if unique:
        table.append_constraint(UniqueConstraint(*(column.name for column in unique)))
    return table


def numbered(batch: Batch, staging: Table) -> Batch:
    """The rows as they go into it."""
    return replace(batch, table=staging, columns=tuple(staging.columns), values=[list(batch.numbers), *batch.values])
