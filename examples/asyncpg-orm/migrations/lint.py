"""`make check` reads the SQL of the migrations with squawk (https://squawkhq.com/docs/rules): what would lock a table
for long, or break the release that still runs. A migration without `squawk_ignore` is older than this check, and left.
"""

import subprocess
import sys
from io import StringIO

from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

EXCLUDED = (
    # migrations/patience.py limits each transaction itself, and undoes it as a whole.
    "require-lock-timeout",
    "require-statement-timeout",
    "prefer-robust-stmts",
    "require-concurrent-index-deletion",  # dropping one takes a moment; patience.py bounds the wait for it
    # How columns are declared is decided in the models.
    "prefer-bigint-over-int",
    "prefer-bigint-over-smallint",
    "prefer-identity",
    "prefer-text-field",
    "prefer-timestamp-tz",
)


def main() -> int:
    scripts = [*ScriptDirectory.from_config(Config("alembic.ini")).walk_revisions()][::-1]
    return max([_check(script) for script in scripts if hasattr(script.module, "squawk_ignore")], default=0)


def _check(script: Script) -> int:
    if not (script.down_revision is None or isinstance(script.down_revision, str)):
        return 0  # it merges others
    sql = StringIO()
    steps = f"{script.down_revision or 'base'}:{script.revision}"
    try:
        command.upgrade(Config("alembic.ini", output_buffer=sql), steps, sql=True)
    except Exception as error:  # of the migration, which reads rows, or what tables there are
        print(f"{script.path}: not checked, since it cannot be printed as SQL ({type(error).__name__})")
        return 0
    ignored = ",".join((*EXCLUDED, *script.module.squawk_ignore))
    squawk = ["squawk", "--stdin-filepath", script.path, "--exclude", ignored]
    return subprocess.run(squawk, input=sql.getvalue(), text=True, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
