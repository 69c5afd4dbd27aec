"""Prepared statements, which each connection keeps. That they are out of date is found out when a migration has changed
their columns, and for no other reason.
"""

import re
from collections.abc import Awaitable, Sequence
from functools import lru_cache
from typing import Any

import asyncpg

from app.database import errors
from app.database.codecs import refuse_beyond_numeric

PLANS = 200  # prepared statements that each connection keeps
# Characters of the longest one, as in asyncpg: one that was made for so many rows takes megabytes of its backend.
LONGEST = 15 * 1024
_PATH = re.compile(r"search_path|\brole\b", re.IGNORECASE)
_ELSEWHERE = re.compile(
    r"""search_path|\A(?:\s|--[^\n]*\n|/\*.*?\*/)*
    (?:SET\s+(?:(?:LOCAL|SESSION)\s+)?(?:ROLE|SCHEMA|SESSION\s+AUTHORIZATION)|CREATE|ALTER|DROP)\b""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
# Types of which Python has every value.
_READABLE = re.compile(r"bool|bytea|char|float|int\d|json|name|numeric|oid|text|uuid|varchar")
# What a statement cannot be any more whose parameters have kept the types of before, while the columns have others:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_ABOUT_TYPES = (asyncpg.DatatypeMismatchError, asyncpg.UndefinedFunctionError, asyncpg.CannotCoerceError)


async def plan_of(connection: Any, statement: str, arguments: Sequence[Any]) -> tuple[Any, Any]:
    """The plan that the connection has or makes, to be run at once, and its columns.

    None is kept after a search path was set: the tables of another schema have types of their own, such as enums, and
    the server refuses a plan whose result has changed. That costs a round trip for each statement. Raises InvalidValue
    for an argument that asyncpg would send as another value.
    """
    refuse_beyond_numeric(arguments)
    elsewhere = connection.is_elsewhere and connection.is_in_transaction()
    connection.is_elsewhere = elsewhere or _leads_elsewhere(statement, arguments)
    known: tuple[Any, Any] | None = connection.plans.get(statement)
    if known is not None and not elsewhere:
        return known
    stays = len(statement) <= LONGEST and not elsewhere
    plan = await connection.plan(statement, stays)
    made = plan, columns_of(plan)
    if connection.keeps_plans and stays:
        if len(connection.plans) >= PLANS:
            del connection.plans[next(iter(connection.plans))]
        connection.plans[statement] = made
    return made


def _leads_elsewhere(statement: str, arguments: Sequence[Any]) -> bool:
    if len(statement) > LONGEST:
        return False
    leads, by_arguments = _words_of(statement)
    return leads or (by_arguments and _PATH.search(repr(arguments)) is not None)


@lru_cache(1000)
def _words_of(statement: str) -> tuple[bool, bool]:
    """Whether tables are others after it, such as those of a role's own schema, and whether its arguments say so."""
    return _ELSEWHERE.search(statement) is not None, "set_config" in statement.lower()


def columns_of(plan: Any) -> Any:
    """As the DB-API describes columns; SQLAlchemy reads name and type."""
    return [(a.name, a.type.oid, None, None, None, None, None) for a in plan.get_attributes()] or None


async def fetched(connection: Any, statement: str, plan: Any, fetching: Awaitable[Any]) -> Any:
    """What comes of running a plan. Raises SchemaChanged when its parameters have the types of columns before a
    migration, UnreadableValue for a row that Python cannot have, else what asyncpg raises.
    """
    try:
        return await fetching
    except _ABOUT_TYPES as error:
        # The server analysed the statement anew: a place in its text is at fault, not one in a function that it calls.
        if error.position is not None and error.context is None:
            raise errors.SchemaChanged from error
        raise
    except asyncpg.DataError as error:
        if error.__cause__ is not None:  # asyncpg's own: a value that it cannot encode for the types that the plan has
            outdated = await _is_outdated(connection, statement, plan)
            await _synchronize(connection)
            if outdated:
                raise errors.SchemaChanged from error
        raise
    except asyncpg.InterfaceError:  # some of which are ValueErrors
        await _synchronize(connection)
        raise
    except (ValueError, ArithmeticError) as error:  # of Python's own constructors: asyncpg has no name for them
        raise _unreadable(plan.get_attributes()) from error


def _unreadable(columns: Sequence[Any]) -> errors.UnreadableValue:
    """For a row with these columns, such as a date before the year 1: never a wrong value, nor a lost connection."""
    suspected = [column for column in columns if not _READABLE.match(column.type.name)] or columns
    names = ", ".join(f"{column.name} ({column.type.name})" for column in suspected)
    which = f"The column {names}" if len(suspected) == 1 else f"One of the columns {names}"
    what = "holds what Python does not have, such as a time outside of the years 1 to 9999"
    return errors.UnreadableValue(f"{which} {what}")


async def _is_outdated(connection: Any, statement: str, plan: Any) -> bool:
    """Whether the statement, prepared anew, has parameters of other types, or cannot be prepared any more."""
    try:
        fresh = await connection.prepare(statement)
    except asyncpg.InFailedSQLTransactionError:  # by an earlier one of many rows: nobody can tell
        return False
    except asyncpg.PostgresError:
        return True
    return [of.oid for of in fresh.get_parameters()] != [of.oid for of in plan.get_parameters()]


async def _synchronize(connection: Any) -> None:
    """After an error of asyncpg's own, which has sent nothing since it prepared the statement: that is a Parse without
    a Sync, and leaves a transaction with its locks on the server which `is_in_transaction` does not tell.
    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
    """
    if not connection.is_closed() and not connection.is_in_transaction():
        await connection.execute("SELECT")
