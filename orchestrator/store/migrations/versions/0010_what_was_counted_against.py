"""Add the quota that a session was counted against: a quota that is lowered later is no violation.

Revision: 0010
Follows: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("admitted_under", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("sessions", "admitted_under")
