"""Let notes reference developers: after the index, which some servers cannot drop while the foreign key needs it"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_foreign_key(
        op.f("fk_notes_developer_id"), "notes", "developers", ["developer_id"], ["id"], ondelete="CASCADE"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("fk_notes_developer_id"), "notes", type_="foreignkey")
