"""Add how many sessions a failed open may have left at its platform.

Revision: 0028
Follows: 0027
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("placements", sa.Column("orphans_at_most", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("placements", "orphans_at_most")
