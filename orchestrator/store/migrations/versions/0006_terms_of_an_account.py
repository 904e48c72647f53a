"""Add an account's own terms, the session with which its funds end, and triggers that protect the ledger.

Where SQLite needs the table `ledger` rebuilt (batch mode), its triggers must be made again too.

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SAY = "the ledger is append-only: post a new entry"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("quota", sa.JSON(), nullable=True))
    op.add_column("accounts", sa.Column("overdraft_limit", sa.BigInteger(), nullable=True))
    op.add_column("accounts", sa.Column("funds_session_id", sa.String(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        for when, name in (("UPDATE", "changed"), ("DELETE", "deleted")):
            op.execute(
                f"CREATE TRIGGER ledger_is_never_{name} BEFORE {when} ON ledger"
                f" BEGIN SELECT RAISE(ABORT, '{_SAY}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{_SAY}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER ledger_is_never_changed")
        op.execute("DROP TRIGGER ledger_is_never_deleted")
    else:
        op.execute("DROP TRIGGER ledger_is_append_only ON ledger")
        op.execute("DROP FUNCTION ledger_is_append_only()")
    for column in ("funds_session_id", "overdraft_limit", "quota"):
        op.drop_column("accounts", column)
