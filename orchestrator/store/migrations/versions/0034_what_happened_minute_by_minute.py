"""Add what happened minute by minute, and an index of when placements were opened.

Revision: 0034
Follows: 0033
"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_COUNTERS = (
    "pings_alive",
    "pings_throttled",
    "pings_loading",
    "pings_transient",
    "pings_gone",
    "pings_credentials",
    "pings_out_of_balance",
    "pings_misconfigured",
    "ping_ms",
    "ping_most_ms",
    "tokens",
)
_OF_STARTS = ("began_running", "until_running_ms", "until_running_most_ms")
_OF_PLACEMENTS = ("opened", "not_opened", "closed", "close_lag_ms", "close_lag_most_ms")


def upgrade() -> None:
    op.create_table(
        "minutes",
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        *_counters(_COUNTERS),
        sa.Column("cost_usd", sa.BigInteger(), nullable=False),
        *_counters(_OF_STARTS),
        sa.Column("sampled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sessions", sa.JSON(), nullable=True),
        sa.Column("unproven", sa.BigInteger(), nullable=True),
        sa.Column("at_risk", sa.JSON(), nullable=True),
        sa.Column("burning", sa.JSON(), nullable=True),
        sa.Column("overdue_seconds", sa.Float(), nullable=True),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in _OF_PLACEMENTS),
        sa.PrimaryKeyConstraint("minute", "provider", name=op.f("pk_minutes")),
    )
    opened = sa.text("opened_at IS NOT NULL")
    op.create_index(
        "ix_placements_opened",
        "placements",
        ["provider", "opened_at"],
        unique=False,
        postgresql_where=opened,
        sqlite_where=opened,
    )


def downgrade() -> None:
    op.drop_index("ix_placements_opened", table_name="placements")
    op.drop_table("minutes")


def _counters(names: tuple[str, ...]) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False) for name in names]
