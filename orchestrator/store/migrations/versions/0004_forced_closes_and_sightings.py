"""Add who forced a close and why; add what reconcile must see twice.

Revision: 0004
Follows: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0001"
branch_labels = None
depends_on = None

_UNENDED = sa.text("NOT (state IN ('closed', 'never_opened'))")
_FORCED = sa.text("forced_at IS NOT NULL")
_MORE_THERE = sa.text("possible_orphans")


def upgrade() -> None:
    op.add_column("placements", sa.Column("forced_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("placements", sa.Column("forced_by", sa.String(), nullable=True))
    op.add_column("placements", sa.Column("forced_why", sa.String(), nullable=True))
    op.create_index(
        "ix_placements_at_provider",
        "placements",
        ["provider", "credential"],
        postgresql_where=_UNENDED,
        sqlite_where=_UNENDED,
    )
    op.create_index("ix_placements_handle", "placements", ["provider", "handle"])
    op.create_index(
        "ix_placements_forced", "placements", ["forced_at"], postgresql_where=_FORCED, sqlite_where=_FORCED
    )
    op.create_index(
        "ix_placements_orphans",
        "placements",
        ["sent_at"],
        postgresql_where=_MORE_THERE,
        sqlite_where=_MORE_THERE,
    )
    op.create_table(
        "sightings",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("credential", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("missing", sa.Boolean(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider", "credential", "handle", name=op.f("pk_sightings")),
    )


def downgrade() -> None:
    op.drop_table("sightings")
    op.drop_index("ix_placements_orphans", "placements")
    op.drop_index("ix_placements_forced", "placements")
    op.drop_index("ix_placements_handle", "placements")
    op.drop_index("ix_placements_at_provider", "placements")
    op.drop_column("placements", "forced_why")
    op.drop_column("placements", "forced_by")
    op.drop_column("placements", "forced_at")
