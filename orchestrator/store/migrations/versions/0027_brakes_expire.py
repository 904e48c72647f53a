"""Add when a brake expired, and since when a session is not well, or held by a brake.

Revision: 0027
Follows: 0026
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_COLUMNS = (("brakes", "expired_at"), ("sessions", "not_well_since"), ("sessions", "held_since"))
_IN_DOUBT = sa.text("state = 'running' AND (failures > 0 OR gone_since IS NOT NULL)")
_NOT_WELL = sa.text("state = 'running' AND not_well_since IS NOT NULL")


def upgrade() -> None:
    for table, name in _COLUMNS:
        op.add_column(table, sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_sessions_in_doubt",
        "sessions",
        ["provider", "credential"],
        postgresql_where=_IN_DOUBT,
        sqlite_where=_IN_DOUBT,
    )
    op.create_index(
        "ix_sessions_not_well",
        "sessions",
        ["not_well_since"],
        postgresql_where=_NOT_WELL,
        sqlite_where=_NOT_WELL,
    )
    if op.get_bind().dialect.name == "sqlite":  # on PostgreSQL, concurrently, by `store.migrate`
        op.execute("DROP INDEX ix_sessions_died")


def downgrade() -> None:
    op.execute(
        "CREATE INDEX IF NOT EXISTS ix_sessions_died ON sessions (provider, stopped_at) WHERE stop_reason = 'dead'"
    )
    op.drop_index("ix_sessions_not_well", "sessions")
    op.drop_index("ix_sessions_in_doubt", "sessions")
    for table, name in reversed(_COLUMNS):
        op.drop_column(table, name)
