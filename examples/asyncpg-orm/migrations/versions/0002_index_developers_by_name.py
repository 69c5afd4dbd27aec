"""Index developers by name, for their pages"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_developers_name_id", "developers", ["name", "id"])


def downgrade() -> None:
    op.drop_index("ix_developers_name_id", "developers")
