"""Add the overdraft that the last charge was allowed, and an index of what was written off.

Revision: 0012
Follows: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_OFF = sa.text("kind = 'write_off'")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("charged_under", sa.BigInteger(), nullable=True))
    op.create_index("ix_ledger_written_off", "ledger", ["at"], postgresql_where=_OFF, sqlite_where=_OFF)


def downgrade() -> None:
    op.drop_index("ix_ledger_written_off", "ledger")
    op.drop_column("accounts", "charged_under")
