"""Add indexes of what is due at a provider, so that a backlog at another one is not read.

Revision: 0033
Follows: 0032
"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_TABLES = ("sessions", "placements")


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return  # concurrently, by `store.migrate`
    for table in _TABLES:
        op.execute(
            f"CREATE INDEX ix_{table}_due_at_provider ON {table} (provider, next_step, next_step_at)"
            " WHERE next_step IS NOT NULL"
        )


def downgrade() -> None:
    for table in _TABLES:
        op.execute(f"DROP INDEX IF EXISTS ix_{table}_due_at_provider")
