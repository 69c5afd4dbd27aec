"""The sentences for what stops a migration although it is no bug of it, each with the way out."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import context
from alembic.script import Script
from alembic.script.revision import RevisionError
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from app.database import DatabaseError
from app.database.translation import translate
from migrations import server

ALEMBIC = "uv run python -m dev alembic"  # which also finds the database of `make dev`

_DDL = re.compile(r"\s*(?:CREATE|ALTER|DROP|RENAME|TRUNCATE)\b(?!\s+TEMPORARY)", re.IGNORECASE)


def known_heads() -> list[str]:
    """The newest migration. Raises SystemExit when the files do not form one chain, as after a merge of branches."""
    try:
        heads = context.script.get_heads()
    except (KeyError, RevisionError) as error:
        raise SystemExit(f"A file in migrations/versions follows a migration that is not there: {error}.") from None
    if len(heads) > 1 and context.get_context().opts.get("destination_rev") == "head":
        raise SystemExit(
            f"Several migrations are the newest one: {', '.join(sorted(heads))}. Write the first of the one into"
            " `down_revision` of the other's first, if it is not applied anywhere yet; else run"
            ' `uv run alembic merge heads -m "merge"`.'
        )
    return heads


def from_unknown_revisions() -> None:
    """Raise SystemExit when the database was migrated by other code: of another branch, of a newer release."""
    known = {script.revision for script in context.script.walk_revisions()}
    unknown = sorted(set(context.get_context().get_current_heads()) - known)
    if unknown:
        raise SystemExit(
            f"The database is at migration {', '.join(unknown)}, which this code does not know: it was migrated by"
            f" another branch or a newer release. Use that code, or go back with it first: `{ALEMBIC} downgrade`"
            " to the last migration that both know; or begin anew with an empty database (`make dev`: delete .dev/)."
        )


@contextmanager
def from_half_way(connection: Connection) -> Iterator[None]:
    """Say what to do when a migration is in the database in part, which a server without transactional DDL leaves so,
    and PostgreSQL after an autocommit block. Raises SystemExit then; what else went wrong is not touched.
    """
    kept = 0  # statements of the migration under way that no ROLLBACK undoes
    migrations = context.get_context()
    transactional = migrations.impl.transactional_ddl

    def ran(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal kept
        own = migrations.version_table in statement  # Alembic's
        kept += not transactional and not own and _DDL.match(statement) is not None

    def applied(**_: Any) -> None:
        nonlocal kept
        kept = 0

    event.listen(connection, "after_cursor_execute", ran)
    migrations.on_version_apply_callbacks = (*migrations.on_version_apply_callbacks, applied)
    try:
        yield
    except DBAPIError as error:
        script, direction = _file_of(error)
        if script is None:
            raise
        after = script.revision if direction == "upgrade" else script.down_revision or "base"
        stamp = f"`{ALEMBIC} stamp {after if isinstance(after, str) else ' '.join(after)}`"
        if kept:
            raise SystemExit(
                f"Migration {script.revision} stopped half-way ({_reason(error)}): {kept} of its statements are in the"
                f" database, where nothing undoes them. Undo them by hand, mend the file and run it again; or do the"
                f" rest by hand and then {stamp}."
            ) from error
        if server.code(error.orig) in server.DONE_BEFORE and _DDL.match(error.statement or ""):
            raise SystemExit(
                f"Migration {script.revision} is in the database already, in part or whole, but not recorded there"
                f" ({_reason(error)}): an earlier run was interrupted. If all of its {direction} is there, {stamp};"
                " else undo by hand what is there. Then run it again."
            ) from error
        raise


def _file_of(error: BaseException) -> tuple[Script | None, str]:
    """The migration that raised it, and `upgrade` or `downgrade`."""
    scripts = {script.path: script for script in context.script.walk_revisions()}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if script := scripts.get(frame.f_code.co_filename):
            return script, frame.f_code.co_name
    return None, ""


def our_error(error: DBAPIError) -> DatabaseError | None:
    """As app.database knows it: below SQLAlchemy's error is the driver's, on PostgreSQL below another of its own."""
    cause = error.orig.__cause__ if error.orig else None
    return translate(cause or error, writing=True)


def _reason(error: DBAPIError) -> str:
    """What the server says, unless values of rows may be in it."""
    ours = our_error(error)
    if ours is not None and ours.status in (409, 422):
        return ours.title
    return server.message(error.orig)
