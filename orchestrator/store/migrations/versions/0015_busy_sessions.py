"""Add since when the server of a session is busy, and which of its interactions are under way.

Revision: 0015
Follows: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("busy_since", sa.DateTime(timezone=True)),
    ("busy_warned_at", sa.DateTime(timezone=True)),
    ("under_way", sa.JSON()),
)


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("sessions", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    for name, _ in reversed(_COLUMNS):
        op.drop_column("sessions", name)
