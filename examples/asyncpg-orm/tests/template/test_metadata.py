"""Each constraint has a name by the convention, so that an error can give it and a migration can drop it."""

from itertools import pairwise

from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, MetaData, Table, UniqueConstraint
from sqlalchemy.schema import CreateTable

from app.database import metadata


def test_each_constraint_and_index_has_a_name_that_says_what_it_is() -> None:
    ours = MetaData(naming_convention=metadata.naming_convention)
    Table("people", ours, Column("id", Integer, primary_key=True))
    orders = Table(
        "orders",
        ours,
        Column("id", Integer, primary_key=True),
        Column("number", Integer, index=True),
        Column("person_id", ForeignKey("people.id")),
        UniqueConstraint("number", "person_id"),
        CheckConstraint("number > 0", name="positive"),
    )
    words = str(CreateTable(orders)).split()
    names = {word for before, word in pairwise(words) if before == "CONSTRAINT"}
    assert names == {"pk_orders", "fk_orders_person_id", "uq_orders_number_person_id", "ck_orders_positive"}
    assert {index.name for index in orders.indexes} == {"ix_orders_number"}
