"""Add rate limits of one model under a key.

Revision: 0030
Follows: 0029
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_waits",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("credential", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider", "credential", "model_id", name=op.f("pk_model_waits")),
    )


def downgrade() -> None:
    op.drop_table("model_waits")
