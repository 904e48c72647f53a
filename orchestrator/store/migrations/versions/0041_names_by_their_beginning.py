"""Add an index of the names of sessions, by which they are found by their beginning.

Revision: 0041
Follows: 0040
"""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":  # on PostgreSQL concurrently, by `store.migrate`
        op.execute("CREATE INDEX ix_sessions_name ON sessions (name) WHERE deleted_at IS NULL")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_sessions_name")
