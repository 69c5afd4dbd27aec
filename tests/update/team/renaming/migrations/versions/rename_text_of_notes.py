"""Rename the text of notes"""

import sqlalchemy as sa
from alembic import op

revision = "rename"
down_revision = "orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("notes", "text", new_column_name="body", existing_type=sa.Text(), existing_nullable=False)


def downgrade() -> None:
    op.alter_column("notes", "body", new_column_name="text", existing_type=sa.Text(), existing_nullable=False)
