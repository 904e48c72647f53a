"""Add the results of a job about several accounts, account by account.

Revision: 0024
Follows: 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("inbox", sa.Column("parts", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("inbox", "parts")
