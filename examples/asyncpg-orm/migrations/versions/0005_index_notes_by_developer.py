"""Index notes by developer, for their list and for the foreign key that follows"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_notes_developer_id_id", "notes", ["developer_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_notes_developer_id_id", "notes")
