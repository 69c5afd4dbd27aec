"""The sentences for what stops a migration although it is no bug of it, each with the way out."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from alembic import context
from alembic.script import Script
from alembic.script.revision import RevisionError
from sqlalchemy.exc import DBAPIError

from app.database import DatabaseError, ReadOnlyServer, ServerGone
from app.database.translation import translate
from migrations import server
from migrations.kept import LENGTH, Kept, is_ddl

ALEMBIC = "uv run python -m dev alembic"  # which also finds the database of `make dev`


def refuse_files() -> None:
    """Raises SystemExit when the files form no chain, or cannot be recorded. Before anything is run."""
    try:
        scripts = [*context.script.walk_revisions()]
        heads = context.script.get_heads()
    except KeyError as error:
        raise SystemExit(f"A file in migrations/versions follows a migration that is not there: {error}.") from None
    except RevisionError as error:
        raise SystemExit(f"The files in migrations/versions form no chain: {error}.") from None
    if twice := sorted({head for head in heads if heads.count(head) > 1}):
        raise SystemExit(f"Several files have the revision {', '.join(twice)}: give each one of its own.")
    if long := [script.revision for script in scripts if len(script.revision) > LENGTH]:
        raise SystemExit(f"The revision {long[0]} is longer than the {LENGTH} characters that can be recorded.")


def known_heads() -> Sequence[str]:
    """The newest migration. Raises SystemExit when there are several, as after a merge of branches."""
    heads = context.script.get_heads()
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
            " Where it is another application's, name a `version_table` of your own: docs/migrations.md."
        )


@contextmanager
def from_the_server() -> Iterator[None]:
    """Raises SystemExit where the server takes no changes, or none of this user, or is lost. What it refuses of the
    tables is noted with the statement: the log of an error has no texts of MySQL's.
    """
    try:
        yield
    except DBAPIError as error:
        if server.code(error.orig) in server.NO_RIGHT:
            why = f"The database user may not do what the migration does ({_reason(error)})"
            raise SystemExit(f"{why}: migrations need one that may change tables.") from error
        if isinstance(ours := our_error(error), ServerGone | ReadOnlyServer):
            raise SystemExit(f"{ours.title}: run it again when that is mended.") from error
        if is_ddl(error.statement):
            statement = " ".join(str(error.statement).split())[:500]
            error.add_note(f"{_reason(error)}: {statement}")
        raise


@contextmanager
def from_half_way(kept: Kept) -> Iterator[None]:
    """Say what to do when a migration is in the database in part, which a server without transactional DDL leaves so,
    and PostgreSQL after an autocommit block. Raises SystemExit then; what else went wrong is not touched.
    """
    try:
        yield
    except Exception as error:
        script, direction = _file_of(error, kept)
        if script is None:
            raise
        of_server = error if isinstance(error, DBAPIError) else None
        code = server.code(of_server.orig) if of_server else ""
        statements = kept.statements - (kept.moved if code in server.NOT_RUN else 0)
        after = script.revision if direction == "upgrade" else script.down_revision or "base"
        stamp = f"`{ALEMBIC} stamp {after if isinstance(after, str) else ' '.join(after)}`"
        if of_server and server.leaves_invalid(of_server.statement):
            raise SystemExit(
                f"Migration {script.revision} did not finish its index ({_reason(of_server)}), or an earlier run has"
                " not: such an index stays, invalid and unused. Drop it, mend what stopped it, and run it again."
            ) from error
        if statements:
            why = _reason(of_server) if of_server else type(error).__name__
            raise SystemExit(
                f"Migration {script.revision} stopped half-way ({why}): {statements} of its statements are in the"
                f" database, where nothing undoes them. Undo them by hand, mend the file and run it again; or do the"
                f" rest by hand and then {stamp}."
            ) from error
        if of_server and server.is_done_before(code, of_server.statement or ""):
            raise SystemExit(
                f"Migration {script.revision} may be in the database already, in part or whole, but is not recorded"
                f" there ({_reason(of_server)}): either an earlier run was interrupted, or the file names another thing"
                f" than it means. If all of its {direction} is there, {stamp}; else undo by hand what is there, or mend"
                " the file. Then run it again."
            ) from error
        raise


def _file_of(error: BaseException, kept: Kept) -> tuple[Script | None, str]:
    """The migration that raised it, and `upgrade` or `downgrade`."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if script := kept.scripts.get(frame.f_code.co_filename):
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
