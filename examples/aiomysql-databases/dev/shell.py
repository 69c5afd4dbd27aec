"""`make shell`: Python with the service's tables and a session, where `await` works at the prompt.

Each input is a unit of work of its own: committed at its end, rolled back when it raises.
"""

import ast
import asyncio
import sys
from code import InteractiveConsole
from contextlib import suppress
from inspect import iscoroutine, ismodule
from types import CodeType, FunctionType
from typing import Any

import sqlalchemy
from sqlalchemy import Table

from app import models
from app.database import Database, DatabaseError
from app.settings import DatabaseSettings, load_database_settings

PATIENT = {"statement_timeout": 3600.0, "transaction_timeout": 3600.0}  # somebody waits for it, and may press Ctrl-C
SQLALCHEMY = ("delete", "func", "insert", "select", "text", "update")


class Shell(InteractiveConsole):
    """Reads from standard input, or is given lines by `push`. Close it at the end."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._runner = asyncio.Runner()
        self._database = Database(settings.model_copy(update=PATIENT))
        super().__init__({"database": self._database, **_names()})
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    @property
    def banner(self) -> str:
        names = ", ".join(sorted(self.locals))
        return (
            f"{names}, and session: a transaction for each input\n" + '>>> await session.fetch_all("SELECT 1 AS one")'
        )

    def runcode(self, code: CodeType) -> None:
        try:
            self._runner.run(self._unit(code))
        except SystemExit:
            raise
        except DatabaseError as error:
            cause = str(error.__cause__ or "").partition("\n")[0]  # what the server says; further lines quote the row
            self.write(f"{type(error).__name__}: {error}{f' ({cause})' if cause else ''}\n")
        except BaseException:  # Ctrl-C too ends the input, not the shell
            self.showtraceback()

    def close(self) -> None:
        self._runner.run(self._database.close())
        self._runner.close()

    async def _unit(self, code: CodeType) -> None:
        async with self._database.of_request(writing=True) as session:  # beside which `database` may be used
            self.locals["session"] = session
            result = FunctionType(code, self.locals)()
            if iscoroutine(result):
                await result


def _names() -> dict[str, Any]:
    """What app/models.py imports of tables and classes, and SQLAlchemy's words for statements."""
    found: dict[str, Any] = {name: getattr(sqlalchemy, name) for name in SQLALCHEMY}
    for module in (models, *filter(ismodule, vars(models).values())):
        for name, value in vars(module).items():
            if isinstance(value, Table) or (isinstance(value, type) and hasattr(value, "__table__")):
                found[name] = value
    return found


def main() -> None:
    with suppress(ImportError):
        import readline
        import rlcompleter
    shell = Shell(load_database_settings())
    if "readline" in sys.modules:
        readline.set_completer(rlcompleter.Completer(shell.locals).complete)
        readline.parse_and_bind("tab: complete")
    try:
        shell.interact(shell.banner, "")
    finally:
        shell.close()


if __name__ == "__main__":
    main()
