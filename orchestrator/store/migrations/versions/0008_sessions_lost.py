"""Add when a moved session was held for dead: it counts for the brake of the provider that lost it.

Revision: 0008
Follows: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LOST = sa.text("lost_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("placements", sa.Column("lost_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_placements_lost",
        "placements",
        ["provider", "lost_at"],
        postgresql_where=_LOST,
        sqlite_where=_LOST,
    )


def downgrade() -> None:
    op.drop_index("ix_placements_lost", "placements")
    op.drop_column("placements", "lost_at")
