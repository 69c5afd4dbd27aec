<% words = message.replace("\\", r"\\").replace('"', r'\"') %>\
"""${words}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
squawk_ignore: tuple[str, ...] = ()  # its rules that do not hold here, with the reason: docs/migrations.md


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
