"""What of the migration under way is in the database for good: no ROLLBACK undoes it, and no second run may repeat it.

It is committed by what commits by itself, on servers whose DDL no transaction holds, and by an autocommit block. A
commit of the migration's own is refused where Alembic's record of it would be lost.
"""

import re
import traceback
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, event

from app.database import dialect
from app.database.statements import code_with_names

LENGTH = 32  # characters of a revision, as Alembic's column takes
_DDL = re.compile(r"(?:CREATE|ALTER|DROP|RENAME|TRUNCATE)\b(?! TEMPORARY)")
_NO_CHANGE = re.compile(r"(?:SELECT|SHOW|SET|SAVEPOINT|RELEASE|ROLLBACK)\b")
_UNKNOWN = re.compile(r"(?:CALL|EXECUTE)\b")  # which may do what commits
_AUTOCOMMIT_BLOCK: Any = MigrationContext.autocommit_block


def is_ddl(statement: str | None) -> bool:
    return _DDL.match(code_with_names(statement or "")) is not None


class Kept:
    """`statements` counts them; `moved` of them were committed by the last statement before it ran, if it ran.
    `scripts` are the migrations by their files.
    """

    def __init__(self, connection: Connection) -> None:
        self.statements = self.moved = 0
        self._pending = 0
        self._code, self._commits = "", False  # of the statement under way
        self._migrations = context.get_context()
        self.scripts = {script.path: script for script in context.script.walk_revisions()}
        event.listen(connection, "before_cursor_execute", self._before)
        event.listen(connection, "after_cursor_execute", self._after)
        event.listen(connection, "commit", self._committed)
        event.listen(connection, "rollback", self._rolled_back)
        callbacks = self._migrations.on_version_apply_callbacks
        self._migrations.on_version_apply_callbacks = (*callbacks, self._recorded)

    def _before(self, connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        self._code = code_with_names(statement)
        self._commits = not self._migrations.impl.transactional_ddl and any(
            kind.match(self._code) for kind in (_DDL, dialect.REFUSED, _UNKNOWN)
        )
        self.moved = self._pending if self._commits else 0
        self.statements += self.moved
        self._pending -= self.moved

    def _after(self, connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        self.moved = 0
        if self._migrations.version_table in statement or _NO_CHANGE.match(self._code):
            return
        if self._commits or connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            self.statements += 1
        else:
            self._pending += 1

    def _committed(self, connection: Connection) -> None:
        self._refuse("commits")
        self.statements, self._pending = self.statements + self._pending, 0

    def _rolled_back(self, connection: Connection) -> None:
        self._refuse("rolls back")
        self._pending = 0

    def _recorded(self, **_: Any) -> None:
        self.statements = self._pending = 0

    def _refuse(self, what: str) -> None:
        """In a file of a migration, where Alembic's own transaction, which would record it, is another one."""
        if not self._migrations.impl.transactional_ddl:
            return
        for frame, _ in traceback.walk_stack(None):
            if frame.f_code is _AUTOCOMMIT_BLOCK.__wrapped__.__code__:
                return
            if script := self.scripts.get(frame.f_code.co_filename):
                raise SystemExit(
                    f"Migration {script.revision} {what} by itself, so nobody could record it: leave that out. What has"
                    " to be committed before the rest goes under `with op.get_context().autocommit_block():`."
                )
