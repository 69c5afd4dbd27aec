"""What logs say of errors and warnings: never a value, whatever driver or library put it into its message."""

import asyncio
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.exceptions import ResponseValidationError
from httpx import AsyncClient
from pydantic import BaseModel
from sqlalchemy import insert, text
from sqlalchemy.exc import StatementError

from app.database import Database, Session, WriteSession, driver, errors
from app.database.error_codes import LIBRARIES
from app.logs import JsonLines, PlainLines, log_end, log_what_nobody_catches
from app.request_id import RequestIdFilter
from app.wording import chain, show_warning, wording
from tests.facts import BAD_TEXTS, CLIENT_ERRORS
from tests.probes import probe, probes
from tests.statements import run

MakeDatabase = Callable[..., Database]
SECRET = 's3cr\'t "x"'
NAME = "s3cret"  # in no line of code that a traceback would show


@pytest.fixture(params=[JsonLines, PlainLines])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What our handler writes, in either format."""
    handler = logging.StreamHandler(stream := io.StringIO())
    handler.setFormatter(request.param("%(message)s"))
    handler.addFilter(RequestIdFilter())
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def written(log: io.StringIO) -> str:
    """The text, without the escapes of JSON."""
    lines = log.getvalue().splitlines()
    return "\n".join("\n".join(map(str, json.loads(x).values())) if x.startswith('{"') else x for x in lines)


async def failing(database: Database, *statements: Any) -> errors.DatabaseError:
    with pytest.raises(errors.DatabaseError) as caught:
        async with database.transaction() as session:
            for statement in statements:
                await run(session, statement)
    return caught.value


def hidden(log: io.StringIO, error: BaseException, *values: str) -> str:
    """What the log has of the error, in which none of the values is."""
    logging.getLogger("team").error("It failed: %s, by %r", error, error.__cause__, exc_info=error)
    shown = written(log)
    assert type(error).__name__ in shown
    assert [value for value in values if value in shown or repr(value)[1:-1] in shown] == []
    return shown


async def test_a_duplicate_is_told_by_its_constraint_and_code(probe_database: MakeDatabase, log: io.StringIO) -> None:
    row = probe(1, name=SECRET[:20])
    error = await failing(probe_database(), insert(probes).values(row), insert(probes).values({**row, "id": 2}))
    assert SECRET[:4] in str(error.__cause__)  # or there would be nothing to hide
    shown = hidden(log, error, SECRET, SECRET[:4])
    assert "23505" in shown or "1062" in shown


@pytest.mark.parametrize(
    "write",
    [
        lambda logger, error: logger.error(error),
        lambda logger, error: logger.error("It failed: %(error)s", {"error": error}),
        lambda logger, error: logger.error("It failed: %s", [error, {"by": error}]),
        lambda logger, error: logger.error({"error": error}),
        lambda logger, error: logger.error("It failed", extra={"error": error}),
        lambda logger, error: logger.error("It failed", extra={"errors": {"of": [error]}}),
    ],
    ids=["message", "named", "several", "members", "extra", "extras"],
)
async def test_an_error_is_in_our_words_wherever_it_is_given_to_the_log(
    write: Callable[[logging.Logger, BaseException], None], probe_database: MakeDatabase, log: io.StringIO
) -> None:
    rows = [insert(probes).values(probe(number, name=NAME)) for number in (1, 2)]
    cause = (await failing(probe_database(), *rows)).__cause__
    assert cause is not None
    assert NAME in str(cause)  # or there would be nothing to hide
    write(logging.getLogger("team"), cause)
    shown = written(log)
    assert NAME not in shown
    assert "23505" in shown or "1062" in shown or shown == "It failed", "plain text has no extras"


async def test_what_a_session_cannot_store_is_not_told(probe_database: MakeDatabase, log: io.StringIO) -> None:
    database = probe_database()
    told: list[tuple[Any, str]] = [
        (insert(probes).values(probe(4711)), "4711"),
        (insert(probes).values(probe(1, name="s3cret" * 9)), "s3cret"),
        (text("SELECT CAST(:a AS DECIMAL(5, 2)) + 1").bindparams(a="s3cret"), "s3cret"),
        (insert(probes).values(probe(1, value=47114711471147)), "47114711471147"),
        (insert(probes).values(probe(1, colour="s3cret")), "s3cret"),
        (insert(probes).values(probe(1, key="s3cret")), "s3cret"),
        (insert(probes).values(probe(1, at="s3cret")), "s3cret"),
    ]
    await failing(database, told[0][0], told[0][0])
    for statement, value in told[1:]:
        caught: BaseException | None = None
        try:
            async with database.transaction() as session:
                await run(session, statement)
        except Exception as error:
            caught = error
        if caught is not None:  # a server takes a text for a number
            hidden(log, caught, value)


async def test_what_a_driver_refuses_is_not_told(probe_database: MakeDatabase, log: io.StringIO) -> None:
    database = probe_database()
    for statement, _ in CLIENT_ERRORS.values():
        with pytest.raises(Exception) as caught:  # noqa: PT011  # of any kind
            async with database.transaction() as session:
                await run(session, statement)
        hidden(log, caught.value, str(2**31), "'a': 1")
    for values in BAD_TEXTS:
        error = await failing(database, insert(probes).values(probe(1, **values)))
        hidden(log, error, str(2**31), "\ud800")


async def test_the_text_of_a_mistake_in_a_statement_stays(probe_database: MakeDatabase, log: io.StringIO) -> None:
    error = await failing(probe_database(), text("SELECT 1 FROM no_such_table"))
    assert "no_such_table" in hidden(log, error, "Traceback of nobody")


async def test_what_a_failed_task_prints_is_in_our_words(probe_database: MakeDatabase, log: io.StringIO) -> None:
    rows = [insert(probes).values(probe(number, name=NAME)) for number in (1, 2)]
    cause = (await failing(probe_database(), *rows)).__cause__
    assert cause is not None
    assert NAME in str(cause)

    async def fail() -> None:
        raise cause

    loop = asyncio.get_running_loop()
    await asyncio.wait([task := loop.create_task(fail())])
    # What asyncio does when nobody has asked for the exception; here it is asked by the runner of the tests.
    told = {"message": "Task exception was never retrieved", "exception": task.exception(), "future": task}
    loop.default_exception_handler(told)
    shown = written(log)
    assert "never retrieved" in shown
    assert NAME not in shown


class Item(BaseModel):
    number: int


async def test_what_pydantic_refuses_is_told_by_place_and_kind(log: io.StringIO) -> None:
    with pytest.raises(ValueError, match=NAME) as caught:
        Item.model_validate({"number": NAME})
    assert "number: int_parsing" in hidden(log, caught.value, NAME)
    answer = ResponseValidationError([{"loc": ("response", "a@b"), "type": "missing", "msg": "", "input": NAME}])
    assert "response.…: missing" in hidden(log, answer, NAME, "a@b")


async def test_groups_causes_and_notes_are_all_shown(log: io.StringIO) -> None:
    def fail() -> None:
        try:
            raise LookupError("first")
        except LookupError as first:
            first.add_note("a note")
            both = [ValueError("second"), StatementError(f"of {NAME!r}", None, None, None)]
            raise ExceptionGroup("both", both)  # noqa: B904  # what is shown of a context is of interest

    with pytest.raises(ExceptionGroup) as caught:
        fail()
    shown = hidden(log, caught.value, NAME)
    for part in ("LookupError: first", "a note", "was being handled", "ValueError: second", "---- 2 ----", "in fail"):
        assert part in shown
    assert len(list(chain(caught.value))) == 4


def test_what_a_team_raises_is_shown_as_it_stands() -> None:
    assert wording(ValueError("order 17 has no 'address'")) == "order 17 has no 'address'"
    assert wording(errors.UniqueViolation("That number is taken")) == "That number is taken"


def test_a_warning_is_a_line_in_the_log_and_a_drivers_has_no_value(caplog: pytest.LogCaptureFixture) -> None:
    drivers = type("Warning", (Warning,), {"__module__": f"{LIBRARIES[-1]}.err"})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show_warning
        warnings.warn("Incorrect value: 's3cret' for column 'x' at row 17", drivers, stacklevel=1)
        warnings.warn("use 'y'", DeprecationWarning, stacklevel=1)
    first, second = [record.getMessage() for record in caplog.records if record.name == "py.warnings"]
    assert "Incorrect value: … at row …" in first
    assert "test_wording.py" in first
    assert second.endswith("DeprecationWarning: use 'y'")


async def test_a_bug_in_a_route_is_logged_without_the_values_of_its_statement(
    app: FastAPI, client: AsyncClient, probe_table: None, log: io.StringIO
) -> None:
    @app.post("/bugs")
    async def bug(session: WriteSession) -> None:
        await half(session)

    async def half(session: Session) -> None:
        await run(session, text("SELECT missing FROM probes WHERE name = :name").bindparams(name=NAME))

    assert (await client.post("/bugs")).status_code == 500
    shown = written(log)
    assert "Traceback" in shown
    assert "in half" in shown
    assert "missing" in shown
    assert NAME not in shown


def test_the_driver_is_one_whose_texts_are_known() -> None:
    assert driver.NAME in LIBRARIES


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_an_error_that_ends_a_thread_or_cannot_be_raised_is_logged_without_values(
    probe_database: MakeDatabase, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = probe(1, name=NAME)
    error = await failing(probe_database(), insert(probes).values(row), insert(probes).values({**row, "id": 2}))
    assert NAME in str(error.__cause__)  # or there would be nothing to hide

    class Broken:
        def __del__(self) -> None:
            raise error

    def fail() -> None:
        raise error

    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # pytest has hooks of its own
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    log_what_nobody_catches()
    await asyncio.to_thread(start_and_join, threading.Thread(target=fail, name="reporting"))
    broken = Broken()
    del broken
    log_end(type(error), error, None)
    lines = written(log)
    assert "reporting ended by an error" in lines
    assert "could not be raised" in lines
    assert "The process ends by an error" in lines
    assert lines.count("Traceback") >= 3
    assert NAME not in lines


def start_and_join(thread: threading.Thread) -> None:
    """Which may block."""
    thread.start()
    thread.join()
