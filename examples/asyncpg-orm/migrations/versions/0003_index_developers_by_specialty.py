"""Index developers by specialty, for their pages"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_developers_specialty_name_id", "developers", ["specialty", "name", "id"])


def downgrade() -> None:
    op.drop_index("ix_developers_specialty_name_id", "developers")
