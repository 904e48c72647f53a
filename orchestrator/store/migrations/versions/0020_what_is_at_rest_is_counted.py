"""Add triggers that count sessions at rest, and indexes from which lists are read in their order.

Where SQLite needs the table `sessions` rebuilt (batch mode), its triggers must be made again too.

Revision: 0020
Follows: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_WATCHED = "state, provider, account_id, deleted_at"
_TARGET = "INSERT INTO session_counts (account_id, state, provider, n)"
_ADD = "ON CONFLICT (account_id, state, provider) DO UPDATE SET n = session_counts.n + excluded.n"
_KEPT = sa.text("deleted_at IS NULL")
_SUPPOSED = sa.text("candidate IS NOT NULL")
_UNTOLD = sa.text("possible_orphans OR (handle IS NULL AND refused_by IS NULL)")
_OVER = sa.text("ended_at IS NOT NULL")
_NEW = (
    ("ix_sessions_account_state_created", "sessions", ["account_id", "state", "created_at"], _KEPT),
    ("ix_sessions_state_created", "sessions", ["state", "created_at"], _KEPT),
    ("ix_placements_by_handle", "placements", ["handle", "provider"], None),
    ("ix_placements_candidate", "placements", ["candidate"], _SUPPOSED),
    ("ix_placements_untold", "placements", ["provider", "sent_at"], _UNTOLD),
    ("ix_placements_ended", "placements", ["provider", "ended_at"], _OVER),
)
#: On PostgreSQL `store.migrate` drops them, once the indexes that replace them exist.
_OLD = {
    "ix_sessions_account_state": "sessions (account_id, state) WHERE deleted_at IS NULL",
    "ix_sessions_created": "sessions (created_at)",
    "ix_placements_handle": "placements (provider, handle)",
}


def upgrade() -> None:
    op.create_table(
        "session_counts",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "state", "provider", name=op.f("pk_session_counts")),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _on_sqlite() if sqlite else _on_postgresql():
        op.execute(statement)  # from here on the triggers count every change
    op.execute(_many("", "sessions"))
    for name, table, columns, where in _NEW:
        op.create_index(name, table, columns, postgresql_where=where, sqlite_where=where)
    for name in _OLD if sqlite else ():
        op.execute(f"DROP INDEX {name}")


def downgrade() -> None:
    for name, definition in _OLD.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {definition}")
    for name, *_ in _NEW:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    on_table = "" if op.get_bind().dialect.name == "sqlite" else " ON sessions"
    for name in ("come", "go", *(("change",) if on_table else ("leave_a_state", "reach_a_state"))):
        op.execute(f"DROP TRIGGER sessions_{name}{on_table}")
    for name in ("sessions_that_come", "sessions_that_go", "a_session_that_changes") if on_table else ():
        op.execute(f"DROP FUNCTION count_{name}()")
    op.drop_table("session_counts")


def _rests(row: str) -> str:
    return f"{row}.deleted_at IS NULL AND {row}.state IN ('created', 'stopped', 'failed')"


def _one(row: str, sign: str) -> str:
    return f"{_TARGET} VALUES ({row}.account_id, {row}.state, coalesce({row}.provider, ''), {sign}1) {_ADD};"


def _many(sign: str, rows: str = "touched") -> str:
    each = f"account_id, state, coalesce(provider, ''), {sign}count(*) FROM {rows} WHERE {_rests(rows)}"
    return f"{_TARGET} SELECT {each} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 {_ADD};"


def _on_sqlite() -> list[str]:
    return [
        f"CREATE TRIGGER sessions_{name} AFTER {when} ON sessions WHEN {_rests(row)} BEGIN {_one(row, sign)} END"
        for name, when, row, sign in (
            ("come", "INSERT", "NEW", ""),
            ("go", "DELETE", "OLD", "-"),
            ("leave_a_state", f"UPDATE OF {_WATCHED}", "OLD", "-"),
            ("reach_a_state", f"UPDATE OF {_WATCHED}", "NEW", ""),
        )
    ]


def _on_postgresql() -> list[str]:
    both = f"IF {_rests('OLD')} THEN {_one('OLD', '-')} END IF; IF {_rests('NEW')} THEN {_one('NEW', '')} END IF;"
    bodies = {"sessions_that_come": _many(""), "sessions_that_go": _many("-"), "a_session_that_changes": both}
    functions = [
        f"CREATE FUNCTION count_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$"
        for name, body in bodies.items()
    ]
    return [
        *functions,
        "CREATE TRIGGER sessions_come AFTER INSERT ON sessions REFERENCING NEW TABLE AS touched"
        " FOR EACH STATEMENT EXECUTE FUNCTION count_sessions_that_come()",
        "CREATE TRIGGER sessions_go AFTER DELETE ON sessions REFERENCING OLD TABLE AS touched"
        " FOR EACH STATEMENT EXECUTE FUNCTION count_sessions_that_go()",
        f"CREATE TRIGGER sessions_change AFTER UPDATE OF {_WATCHED} ON sessions FOR EACH ROW"
        " WHEN ((OLD.state, OLD.provider, OLD.account_id, OLD.deleted_at)"
        " IS DISTINCT FROM (NEW.state, NEW.provider, NEW.account_id, NEW.deleted_at))"
        " EXECUTE FUNCTION count_a_session_that_changes()",
    ]
