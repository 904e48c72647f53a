"""Add an index of the names of sessions, by which they are found by their beginning.

Revision: 0044
Follows: 0039
"""

from alembic import op

revision = "0044"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":  # on PostgreSQL concurrently, by `store.migrate`
        op.execute("CREATE INDEX ix_sessions_name ON sessions (name) WHERE deleted_at IS NULL")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_sessions_name")
