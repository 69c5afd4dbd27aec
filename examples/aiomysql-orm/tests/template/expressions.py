"""Statements of all kinds, each with the values that it is given if any, for test_engine.py."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import bindparam, case, cast, delete, func, insert, literal, select, text, tuple_, union_all, update

from tests.template.types_table import DOCUMENT, Boxed, Colour

Statements: TypeAlias = dict[str, Any]  # by what is particular in it: a statement, or one with its values

metadata = sa.MetaData()
things = sa.Table(
    "things",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(40)),
    sa.Column("amount", sa.Numeric(10, 2)),
    sa.Column("day", sa.Date),
    sa.Column("colour", sa.Enum(Colour, native_enum=False, length=10)),
    sa.Column("document", sa.JSON),
    sa.Column("boxed", Boxed(sa.Integer())),
    sa.Column("odd % :name (s)", sa.Integer, key="odd"),
    sa.Column("scalar", sa.Integer, default=1, onupdate=2),
    sa.Column("called", sa.Integer, default=lambda: 3, onupdate=lambda: 4),
    sa.Column(
        "of_context",
        sa.String(200),
        default=lambda context: f"for {context.get_current_parameters().get('id')}",
        onupdate=lambda context: ", ".join(sorted(context.get_current_parameters())),
    ),
    sa.Column("expression", sa.Integer, default=func.abs(-5), onupdate=func.abs(-6)),
    sa.Column("selected", sa.Integer, default=select(literal(8)).scalar_subquery(), onupdate=text("9")),
    sa.Column("boxed_default", Boxed(sa.Integer()), default=("boxed", 1), onupdate=("boxed", 2)),
    sa.Column("served", sa.Integer, server_default="7"),
)
keyed = sa.Table("keyed", metadata, sa.Column("id", sa.Integer, default=func.abs(-77), primary_key=True))
counted = sa.Table("counted", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(9)))
THINGS: list[dict[str, Any]] = [
    {"id": 1, "name": "one", "amount": Decimal("1.10"), "colour": Colour.RED, "document": DOCUMENT},
    {"id": 2, "name": "100% :two", "day": date(2024, 2, 29), "colour": Colour.BLUE, "boxed": ("boxed", 5), "odd": 1},
    {"id": 3, "name": None, "amount": Decimal(3), "document": sa.JSON.NULL, "odd": 2},
]

_other = things.alias("other")
_recursive = select(literal(1).label("n")).cte("numbers", recursive=True)
_recursive = _recursive.union_all(select(_recursive.c.n + 1).where(_recursive.c.n < 4))
_cheap = select(things.c.id, things.c.colour).where(things.c.amount < 2).cte("cheap")
_id = things.c.id
_boxed = things.c.boxed.type

READS: Statements = {
    "no table": select(literal(5)),
    "literals": select(literal(Decimal("1.50")), literal(date(2024, 1, 1)), literal("%s :x 'é"), literal(None)),
    "more literals": select(literal(True), literal(1.5), literal(datetime(2024, 1, 1, 1)), literal(b"\0\xff\\")),
    "literals of a type": select(literal(Colour.RED, things.c.colour.type), literal(("boxed", 1), _boxed)),
    "time": select(cast(literal(time(1, 2, 3)), sa.Time)),
    "constants": select(sa.null(), sa.true(), sa.false(), sa.literal_column("'%% :x'"), text("'%'")),
    "casts": select(cast(literal("5"), sa.Integer), cast(things.c.amount, sa.String(20))),
    "cast of a date": select(cast(text("'2024-01-01'"), sa.Date)),
    "cast of NULL": select(cast(None, sa.Integer), cast(None, sa.String(5))),
    "type_coerce": select(sa.type_coerce(things.c.id, Boxed(sa.Integer()))),
    "all columns": select(things).order_by(_id),
    "no rows": select(things).where(sa.false()),
    "labels": select(_id.label("first"), things.c.colour.label("Groß %s :x"), things.c.odd),
    "labels by table": select(things.c.id, things.c.odd, _other.c.id).set_label_style(
        sa.LABEL_STYLE_TABLENAME_PLUS_COL
    ).join(_other, _other.c.id == _id),
    "duplicate names": select(_id, _other.c.id, _id).join(_other, _other.c.id > _id).order_by(_id, _other.c.id),
    "an alias": select(_other.c.id, _other.c.boxed, _other.c.odd).where(_other.c.odd == 1),
    "a value by name": (select(_id).where(_id == bindparam("id")), {"id": 2}),
    "a value of a type by name": (select(_id).where(things.c.colour == bindparam("c")), {"c": Colour.BLUE}),
    "a value that is None": (select(_id).where(things.c.name == bindparam("name")), {"name": None}),
    "a name that needs escapes": (select(_id).where(_id == bindparam("a%(b):c")), {"a%(b):c": 2}),
    "a literal_execute": select(_id).where(_id == bindparam("x", 2, literal_execute=True)),
    "a literal_execute by name": (select(_id).where(_id == bindparam("x", literal_execute=True)), {"x": 3}),
    "IN": select(_id).where(_id.in_([1, 3]), things.c.id.not_in([7, 8, 9])).order_by(_id),
    "IN, empty": select(_id).where(_id.in_([])),
    "NOT IN, empty": select(_id).where(_id.not_in([])).order_by(_id),
    "IN of types": select(_id).where(things.c.colour.in_([*Colour]), things.c.boxed.in_([("boxed", 5)])),
    "IN by name": (select(_id).where(_id.in_(bindparam("ids", expanding=True))).order_by(_id), {"ids": [2, 3]}),
    "IN by name, empty": (select(_id).where(_id.in_(bindparam("ids", expanding=True))), {"ids": []}),
    "IN of literal_execute": select(_id).where(
        things.c.name.in_(bindparam("x", ["one", "100% :two"], expanding=True, literal_execute=True))
    ),
    "IN of tuples": select(_id).where(tuple_(_id, things.c.name).in_([(1, "one"), (2, "100% :two")])).order_by(_id),
    "IN of tuples, empty": select(_id).where(tuple_(_id, things.c.name).in_([])),
    "IN of a query": select(_id).where(_id.in_(select(_other.c.id).where(_other.c.odd > 0))).order_by(_id),
    "CASE": select(case((_id == 1, "one"), (_id == 2, None), else_="many"), case({1: 1.5}, value=_id)).order_by(_id),
    "CASE of a type": select(case((_id == 1, things.c.colour), else_=things.c.colour)).order_by(_id),
    "coalesce": select(
        func.coalesce(things.c.amount, 0).label("c"), func.coalesce(things.c.boxed, literal(("boxed", 0), _boxed))
    ).order_by(_id),
    "aggregates": select(func.count(), func.sum(things.c.amount), func.max(things.c.colour), func.avg(_id)),
    "no aggregate": select(func.sum(things.c.amount), func.min(things.c.day), func.count(_id)).where(sa.false()),
    "functions": select(func.lower("É%"), func.concat("a", "%", ":b"), func.char_length(literal("é")), func.round(2.5)),
    "arithmetic": select(_id + 1, _id * 2.5, _id / 2, _id // 2, _id % 2, -_id, things.c.amount * 2).order_by(_id),
    "concatenation": select(things.c.name + "%s" + ":x"),
    "LIKE": select(_id).where(things.c.name.like("%0!%%", escape="!"), things.c.name.contains("% :", autoescape=True)),
    "between, distinct": select(things.c.odd.is_distinct_from(1), _id.between(1, 2), ~(_id == 1)).order_by(_id),
    "extract": select(sa.extract("year", things.c.day)).where(_id == 2),
    "a key of a document": select(things.c.document["text"].as_string(), things.c.document["list"]).where(_id == 1),
    "a path into a document": select(things.c.document[("list", 2)].as_float()).where(_id == 1),
    "text": text("SELECT id, amount, name FROM things WHERE name LIKE '1%' ORDER BY id"),
    "text as it stands": "SELECT id, day AS d, 'a:b % \\:x' FROM things ORDER BY id",
    "text with values": ("SELECT name FROM things WHERE id = :id OR name = :name", {"id": 1, "name": ":id%"}),
    "text with bindparams": text("SELECT name FROM things WHERE id = :id").bindparams(id=2),
    "text with a typed value": (
        text("SELECT id FROM things WHERE colour = :c").bindparams(bindparam("c", type_=things.c.colour.type)),
        {"c": Colour.RED},
    ),
    "text with an expanding value": (
        text("SELECT id FROM things WHERE id IN :ids").bindparams(bindparam("ids", expanding=True)),
        {"ids": [1]},
    ),
    "text with columns by place": text("SELECT id, colour, boxed, 1 AS one FROM things").columns(
        _id, things.c.colour, things.c.boxed
    ),
    "text with columns by name": text("SELECT colour, id, boxed FROM things").columns(
        boxed=Boxed(sa.Integer()), colour=things.c.colour.type
    ),
    "text as a subquery": select(text("SELECT id FROM things WHERE id = :id").bindparams(id=2).columns(_id).subquery()),
    "a subquery": select(select(things).where(_id > bindparam("id")).subquery("sub")).params(id=2),
    "scalar subqueries": select(_id, select(func.count(_other.c.id)).where(_other.c.id <= _id).scalar_subquery()),
    "EXISTS": select(sa.exists().where(_id == 2), sa.exists(select(_id).where(_id == 22))),
    "a CTE": select(_cheap, things.c.boxed).join_from(_cheap, things, _cheap.c.id == _id),
    "a recursive CTE": select(_recursive),
    "UNION": union_all(select(_id, things.c.colour), select(_other.c.id + 10, _other.c.colour)).order_by("id"),
    "UNION with LIMIT": sa.union(select(literal(1).label("n")), select(literal(2))).order_by(sa.desc("n")).limit(1),
    "INTERSECT": sa.intersect(select(_id), select(_other.c.id)).order_by("id"),
    "window functions": select(
        func.row_number().over(order_by=_id),
        func.sum(_id).over(order_by=_id, rows=(None, 0)),
        func.lag(_id).over(order_by=_id),
    ).order_by(_id),
    "GROUP BY": select(things.c.colour, func.count().label("n")).group_by(things.c.colour).having(func.count() > 0)
    .order_by(things.c.colour),
    "OFFSET": select(_id).order_by(_id.desc()).limit(1).offset(1),
    "OFFSET by name": (select(_id).order_by(_id).limit(bindparam("l")).offset(bindparam("o")), {"l": 1, "o": 2}),
    "DISTINCT": select(things.c.served).distinct(),
    "execution options": select(things).order_by(_id).execution_options(of_ours=1),
    "execution options of a stream": select(things).order_by(_id).execution_options(stream_results=True),
    "execution options of pages": select(things).order_by(_id).execution_options(yield_per=2),
    "a function alone": func.abs(-5),
    "a comment": select(_id).prefix_with("/* ? % ' */").where(_id == 1),
}  # fmt: skip

WRITES: Statements = {
    "one row": insert(things).values({"id": 4, "colour": Colour.RED, "document": None, "boxed": ("boxed", 1)}),
    "one row by name": (insert(things), {"id": 4, "name": "four", "document": DOCUMENT}),
    "columns in another order": (insert(things), {"odd": 4, "id": 4}),
    "expressions": insert(things).values(id=4, amount=func.abs(-5), name=select(func.count()).scalar_subquery()),
    "some rows": insert(things).values([{"id": 4, "colour": Colour.RED}, {"id": 5, "colour": None}]),
    "some rows, with expressions": insert(things).values(
        [{"id": 4, "odd": _id.type.python_type(4)}, {"id": 5, "odd": 0}]
    ),
    "the rows of a query": insert(things).from_select(["id", "colour"], select(_id + 10, things.c.colour)),
    "the rows of a query alone": insert(things).from_select(["id"], select(_id + 10), include_defaults=False),
    "a key by an expression": insert(keyed),
    "a key by an expression of the call": insert(keyed).values(id=func.abs(-78)),
    "text": text("INSERT INTO counted (id, name) VALUES (9, 'a%\\:b')"),
    "text with values": ("INSERT INTO counted (id, name) VALUES (:id, :name)", {"id": 9, "name": ":id %s"}),
    "defaults that are asked for": insert(things).values(id=4, colour=Colour.RED).return_defaults(),
    "UPDATE": update(things).values(name="x").where(_id == 1),
    "UPDATE of all": update(things).values({things.c.odd: None, "amount": Decimal(1)}),
    "UPDATE by name": (
        update(things).where(_id == bindparam("key")).values(boxed=bindparam("new"), document=bindparam("d")),
        {"key": 2, "new": ("boxed", 6), "d": [None]},
    ),
    "UPDATE of what is given": (update(things).where(_id == 1), {"name": "given", "colour": Colour.BLUE}),
    "UPDATE with expressions": update(things).values(odd=things.c.odd + 1, name=func.upper(things.c.name) + "%"),
    "UPDATE in order": update(things).ordered_values((things.c.odd, 5), (things.c.amount, things.c.odd * 2)),
    "UPDATE of a default": update(things).values(scalar=20, of_context="own", expression=None).where(_id.in_([1, 2])),
    "UPDATE of JSON": update(things).values(document=sa.JSON.NULL).where(things.c.name == "one"),
    "UPDATE of none": update(things).values(name="x").where(sa.false()),
    "DELETE": delete(things).where(_id.in_([1, 2])),
    "DELETE of all": delete(things),
    "DELETE of none": delete(things).where(_id.in_([])),
    "DELETE as text": ("DELETE FROM things WHERE name = :name", {"name": "100% :two"}),
}

MANY: Statements = {
    "insert": (insert(things), [{"id": id, "colour": Colour.RED, "boxed": ("boxed", id)} for id in range(10, 15)]),
    "insert of odd names": (
        insert(things),
        [{"id": 10, "odd": 1, "name": "%s"}, {"id": 11, "odd": None, "name": ":x"}],
    ),
    "insert with expressions": (insert(things).values(amount=func.abs(bindparam("a"))), [{"id": 10, "a": -1}]),
    "insert of one": (insert(things), [{"id": 10}]),
    "update": (
        update(things).where(_id == bindparam("key")).values(name=bindparam("new"), colour=bindparam("c")),
        [{"key": 1, "new": "%", "c": Colour.BLUE}, {"key": 2, "new": None, "c": None}],
    ),
    "delete": (delete(things).where(_id == bindparam("key")), [{"key": 1}, {"key": 3}]),
    "text": ("INSERT INTO counted (id, name) VALUES (:id, :name)", [{"id": 1, "name": "%s"}, {"id": 2, "name": None}]),
    "text of an update": ("UPDATE things SET name = :name WHERE id = :id", [{"id": 1, "name": ":x"}]),
}
