"""Add what the audit keeps, and two indexes that are empty in health.

Revision: 0007
Follows: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SESSIONS = sa.text(
    "(next_step IS NULL AND state IN ('queued', 'starting', 'running'))"
    " OR (deleted_at IS NOT NULL AND state IN ('queued', 'starting', 'running', 'stopping'))"
)
PLACEMENTS = sa.text(
    "(next_step IS NULL AND state IN ('opening', 'unknown', 'closing'))"
    " OR (state = 'closed' AND proof IS NULL)"
    " OR (forced_at IS NOT NULL AND (forced_by IS NULL OR forced_why IS NULL))"
)


def upgrade() -> None:
    op.create_table(
        "audit_findings",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "subject", name=op.f("pk_audit_findings")),
    )
    op.create_table(
        "audit_cursors",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_audit_cursors")),
    )
    op.create_table(
        "audit_balances",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("ledger_id", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_audit_balances")),
    )
    op.create_index(
        "ix_sessions_impossible", "sessions", ["id"], postgresql_where=SESSIONS, sqlite_where=SESSIONS
    )
    op.create_index(
        "ix_placements_impossible", "placements", ["id"], postgresql_where=PLACEMENTS, sqlite_where=PLACEMENTS
    )


def downgrade() -> None:
    op.drop_index("ix_placements_impossible", table_name="placements")
    op.drop_index("ix_sessions_impossible", table_name="sessions")
    op.drop_table("audit_balances")
    op.drop_table("audit_cursors")
    op.drop_table("audit_findings")
