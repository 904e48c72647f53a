"""Add a correction of rows in the future that is not done yet, after the clock went back.

Revision: 0025
Follows: 0024
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("clock", sa.Column("correct_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("clock", "correct_at")
