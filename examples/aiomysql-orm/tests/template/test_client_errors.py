"""What goes wrong before anything is sent says nothing of the server: it is no 503, and costs no connection."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta, timezone
from traceback import format_exception
from typing import Any

import pytest
from sqlalchemy import Insert, Integer, bindparam, insert, select, text
from sqlalchemy.types import TypeDecorator

from app.database import Database, DatabaseError, InvalidValue, ServerGone
from app.database.translation import translate
from tests import facts
from tests.probes import probe, probes
from tests.statements import run, savepoint, value
from tests.template import ways

MakeDatabase = Callable[..., Database]


class Warning(TypeDecorator[int]):
    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: object) -> int | None:
        warnings.warn("turned into an error, as in these tests", UserWarning, stacklevel=2)
        return value


def at(year: int, hours: int) -> datetime:
    """The first instant of a year, or the last of the year 9999, by a clock so many hours ahead."""
    zone = timezone(timedelta(hours=hours))
    return datetime(year, 1, 1, tzinfo=zone) if year < 9999 else datetime(9999, 12, 31, 23, 59, 59, tzinfo=zone)


# The statement, and what it is; None: an error of Python's, the bug that it is.
CASES: dict[str, tuple[Any, type[DatabaseError] | None]] = {
    "half of a surrogate pair": (insert(probes).values(probe(1, name="\ud800")), InvalidValue),
    "the other half": (insert(probes).values(probe(1, name="\udc80")), InvalidValue),
    "before the year 1": (insert(probes).values(probe(1, at=at(1, 14))), InvalidValue),
    "before the year 1, by a query": (select(probes.c.id).where(probes.c.at > at(1, 1)), InvalidValue),
    "after the year 9999": (insert(probes).values(probe(1, at=at(9999, -12))), InvalidValue),
    "the last instant of all": (insert(probes).values(probe(1, at=datetime.max.replace(tzinfo=UTC))), InvalidValue),
    "a parameter that is missing": (select(probes.c.id).where(probes.c.id == bindparam("id")), None),
    "a parameter of a text": (text("SELECT id FROM probes WHERE id = :id"), None),
    "what is no JSON": (insert(probes).values(probe(1, document={1, 2})), None),
    "a time without a zone": (insert(probes).values(probe(1, at=datetime(2024, 1, 1))), None),
    "a warning": (select(bindparam("number", 1, Warning)), None),
    **facts.CLIENT_ERRORS,
}


@pytest.mark.parametrize("writing", [True, False], ids=["in a transaction", "in a read session"])
@pytest.mark.parametrize(("statement", "kind"), CASES.values(), ids=CASES.keys())
async def test_an_error_before_anything_was_sent_is_no_lost_server_and_costs_no_connection(
    probe_database: MakeDatabase, statement: Any, kind: type[DatabaseError] | None, writing: bool
) -> None:
    if not writing and isinstance(statement, Insert):
        pytest.skip("a read session would refuse it unseen")
    database = probe_database(pool_size=1, max_overflow=0)
    async with database.transaction() if writing else database.read() as session:
        id = await value(session, text(facts.SESSION_ID))
        with pytest.raises(kind or Exception) as caught:
            if writing:
                async with savepoint(session):
                    await run(session, statement)
            else:
                await session.fetch_all(statement)
        assert await value(session, text(facts.SESSION_ID)) == id
    if kind is None:
        assert not isinstance(caught.value, DatabaseError)
    else:
        assert type(caught.value) is kind
    for _ in range(2):  # a read leaves no transaction open on the server, which another one could not begin in
        async with database.read() as session:
            with suppress(Exception):
                await session.fetch_all(statement)
        async with database.transaction() as session:
            assert await value(session, text(facts.SESSION_ID)) == id
            await run(session, insert(probes).values(probe(2)))
            await run(session, probes.delete())
    assert database.status().open == 1


QUERIES = {name: case for name, case in CASES.items() if not isinstance(case[0], Insert) and case[1] is not None}


@pytest.mark.parametrize(("statement", "kind"), QUERIES.values(), ids=QUERIES.keys())
async def test_a_cursor_refuses_the_same(
    probe_database: MakeDatabase, statement: Any, kind: type[DatabaseError]
) -> None:
    async with probe_database().transaction() as session:
        with pytest.raises(DatabaseError) as caught:
            async with savepoint(session):
                async for _ in ways.stream(session, statement):
                    pass
        assert type(caught.value) is kind
        assert await value(session, text("SELECT 1")) == 1


@pytest.mark.parametrize("within", [True, False], ids=["in a savepoint", "alone"])
@pytest.mark.parametrize(
    ("good", "refused", "kind", "message"),
    [
        ({"document": 1}, {"document": {1, 2}}, Exception, "JSON"),
        ({"at": at(2024, 0)}, {"at": at(9999, -12)}, InvalidValue, "outside of the years"),
    ],
    ids=["json", "late"],
)
@pytest.mark.parametrize("way", ["options", "many"])
async def test_an_error_before_anything_was_sent_undoes_nothing_of_its_unit(
    probe_database: MakeDatabase,
    way: str,
    good: dict[str, Any],
    refused: dict[str, Any],
    kind: type[Exception],
    message: str,
    within: bool,
) -> None:
    """Also where SQLAlchemy's Connection sends it, which would roll back, and has errors of its own around ours."""
    database = probe_database()
    given = probe(2, **refused)
    async with database.transaction() as session:
        await run(session, insert(probes).values(probe(1)))
        with pytest.raises(kind, match=message):
            async with savepoint(session) if within else nullcontext():
                if way == "options":
                    await session.fetch_all(insert(probes).execution_options(of_ours=1), given)
                else:
                    many: Any = getattr(session, "execute_many", session.execute)
                    await many(insert(probes), [probe(4, **good), given])
        await run(session, insert(probes).values(probe(3)))
    async with database.read() as session:
        assert [row["id"] for row in await session.fetch_all(select(probes.c.id).order_by(probes.c.id))] == [1, 3]


async def test_what_is_logged_of_such_a_bug_has_no_value_of_the_row(probe_database: MakeDatabase) -> None:
    with pytest.raises(Exception, match="JSON") as caught:
        async with probe_database().transaction() as session:
            await session.execute(insert(probes), probe(1, name=" ".join(("a", "secret")), document={1, 2}))
    assert "a secret" not in "".join(format_exception(caught.value))


async def test_the_first_and_the_last_instants_that_there_are_come_back(probe_database: MakeDatabase) -> None:
    database = probe_database()
    first, last = (datetime(1, 1, 1, 0, 0, 0, 1, UTC), datetime(9999, 12, 31, 23, 59, 59, 999998, UTC))
    async with database.transaction() as session:
        for id, instant in enumerate((first, last)):
            await run(session, insert(probes).values(probe(id, at=instant)))
            assert await value(session, select(probes.c.at).where(probes.c.id == id)) == instant


def test_an_error_of_the_network_is_a_lost_server_and_others_are_none() -> None:
    assert type(translate(ConnectionResetError(), writing=True)) is ServerGone
    assert type(translate(TimeoutError(), writing=True)) is ServerGone
    for error in (UserWarning("x"), TypeError("x"), ValueError("x"), KeyError("x"), AssertionError("x")):
        assert translate(error, writing=True) is None
