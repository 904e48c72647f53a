"""Add the budgets of accounts.

Revision: 0039
Follows: 0038
"""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("budgets", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("accounts", "budgets")
