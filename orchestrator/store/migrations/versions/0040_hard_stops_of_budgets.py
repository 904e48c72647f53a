"""Add the stop reason of budgets, and which budget ends an account's funds.

PostgreSQL reads the sessions once to check them. SQLite changes a CHECK constraint in the stored text of the table: to
rebuild the table would drop its triggers.

Revision: 0040
Follows: 0039
"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

_BEFORE = ("user", "operator", "max_duration", "max_interactions", "idle", "max_cost", "model_limit")
_AFTER = (
    "balance_exhausted",
    "dead",
    "provider_ended",
    "start_failed",
    "start_timeout",
    "queue_timeout",
)
_OLD, _NEW = (*_BEFORE, *_AFTER), (*_BEFORE, "budget_exhausted", *_AFTER)


def upgrade() -> None:
    op.add_column("accounts", sa.Column("funds_end_by", sa.String(length=32), nullable=True))
    _allow(_OLD, _NEW)


def downgrade() -> None:
    for column in ("stop_reason", "stop_at_reason"):
        op.execute(
            f"UPDATE sessions SET {column} = 'balance_exhausted' WHERE {column} = 'budget_exhausted'"  # noqa: S608
        )
    _allow(_NEW, _OLD)
    op.drop_column("accounts", "funds_end_by")


def _allow(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rewrite(_quoted(before), _quoted(after))
        return
    for column in ("stop_reason", "stop_at_reason"):
        name = f"ck_sessions_{column}_known"
        op.execute(f"ALTER TABLE sessions DROP CONSTRAINT {name}")
        op.execute(f"ALTER TABLE sessions ADD CONSTRAINT {name} CHECK ({column} IN ({_quoted(after)}))")


def _rewrite(before: str, after: str) -> None:
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.execute(
        sa.text("UPDATE sqlite_master SET sql = replace(sql, :before, :after) WHERE name = 'sessions'"),
        {"before": f"({before})", "after": f"({after})"},
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")  # and this connection reads the table again


def _quoted(reasons: tuple[str, ...]) -> str:
    return ", ".join(f"'{one}'" for one in reasons)
