"""Add when the key of an open was proven free: nothing that could open anything was sent before.

Revision: 0026
Follows: 0025
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("placements", sa.Column("freed_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("placements", "freed_at")
