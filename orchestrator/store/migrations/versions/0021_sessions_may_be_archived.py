"""Add the archive of sessions that ended long ago, with their placements and ledger entries.

The ledger lets entries go into the archive, and the database adds up what leaves. Where SQLite rebuilds the table
`ledger` (batch mode), its triggers must be made again too.

Revision: 0021
Follows: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_NOT_DELETED = sa.text("deleted_at IS NULL")
_INDEXES = (
    ("ix_sessions_ended", "sessions", ["ended_at"], "ended_at IS NOT NULL"),
    ("ix_sessions_never_began", "sessions", ["deleted_at"], "deleted_at IS NOT NULL AND ended_at IS NULL"),
    (
        "ix_sessions_account_ended",
        "sessions",
        ["account_id", "ended_at"],
        "ended_at IS NOT NULL AND deleted_at IS NULL",
    ),
    ("ix_ledger_opening", "ledger", ["account_id"], "kind = 'opening'"),
)
_FIELDS = ("id", "key", "at", "account_id", "kind", "debit", "credit", "amount", "currency", "note")
_REFUSED = "the ledger is append-only: an entry leaves it only into the archive"
_KEPT_FOR_GOOD = "the archived ledger is append-only"
_SAY = "the ledger is append-only: post a new entry"
_SAME = " AND ".join(
    [
        *(f"a.{name} = OLD.{name}" for name in _FIELDS),
        "coalesce(a.session_id, '') = coalesce(OLD.session_id, '')",
    ]
)
_IS_CREDIT = "OLD.credit = 'account:' || OLD.account_id"
_OTHER_BOOK = f"CASE WHEN {_IS_CREDIT} THEN OLD.debit ELSE OLD.credit END"
_SIGNED = f"CASE WHEN {_IS_CREDIT} THEN OLD.amount ELSE -OLD.amount END"
_HAS_SUM = (
    "EXISTS (SELECT 1 FROM archived_books s WHERE s.account_id = OLD.account_id AND s.book = "  # noqa: S608
    + _OTHER_BOOK
    + ")"
)
_MAY_LEAVE = (
    f"(OLD.kind = 'opening' AND {_HAS_SUM})"  # noqa: S608
    f" OR (OLD.kind <> 'opening' AND (EXISTS (SELECT 1 FROM archived_ledger a WHERE {_SAME})"
    " OR EXISTS (SELECT 1 FROM archived_sessions d WHERE d.id = OLD.session_id AND d.record IS NULL)))"
)
_IF_KEPT = "CASE WHEN EXISTS (SELECT 1 FROM archived_ledger a WHERE a.id = OLD.id) THEN {} ELSE 0 END"
_ADD_UP = (
    "INSERT INTO archived_books (account_id, book, amount, entries, kept_amount, kept_entries)"  # noqa: S608
    f" VALUES (OLD.account_id, {_OTHER_BOOK}, {_SIGNED}, 1, {_IF_KEPT.format(_SIGNED)}, {_IF_KEPT.format('1')})"
    " ON CONFLICT (account_id, book) DO UPDATE SET amount = archived_books.amount + excluded.amount,"
    " entries = archived_books.entries + excluded.entries,"
    " kept_amount = archived_books.kept_amount + excluded.kept_amount,"
    " kept_entries = archived_books.kept_entries + excluded.kept_entries;"
)
_COUNTS = "NEW.deleted_at IS NULL AND NEW.state IN ('stopped', 'failed')"
_STOPS_COUNTING = (
    "OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL AND OLD.state IN ('stopped', 'failed')"
)
_FUNCTIONS = (
    "let_ledger_entries_leave",
    "add_up_what_left_the_ledger",
    "count_archived_sessions",
    "discount_archived_sessions",
)


def upgrade() -> None:
    _create_tables()
    for name, table, columns, where in _INDEXES:
        op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
    for statement in _on_sqlite() if op.get_bind().dialect.name == "sqlite" else _on_postgresql():
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER ledger_entries_leave")
        op.execute("DROP TRIGGER ledger_entries_have_left")
        op.execute(_raising("ledger_is_never_deleted", "BEFORE DELETE ON ledger", _SAY))
    else:
        op.execute("DROP TRIGGER ledger_entries_leave ON ledger")
        op.execute("DROP TRIGGER ledger_entries_have_left ON ledger")
        op.execute("DROP TRIGGER ledger_is_append_only ON ledger")
        op.execute(_append_only("ledger", "UPDATE OR DELETE OR TRUNCATE"))
    for name, *_ in _INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    for table in ("archived_books", "archived_ledger", "archived_sessions"):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        for function in _FUNCTIONS:
            op.execute(f"DROP FUNCTION {function}()")


def _create_tables() -> None:
    at = sa.DateTime(timezone=True)
    states = "'created', 'queued', 'starting', 'running', 'stopping', 'stopped', 'failed'"
    op.create_table(
        "archived_sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.String(), nullable=True),
        sa.Column("stop_reason", sa.String(), nullable=True),
        sa.Column("request_digest", sa.String(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.Column("charges", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("created_at", at, nullable=False),
        sa.Column("ended_at", at, nullable=False),
        sa.Column("archived_at", at, nullable=False),
        sa.Column("deleted_at", at, nullable=True),
        sa.Column("record", sa.JSON(), nullable=True),
        sa.Column("digest", sa.String(), nullable=True),
        sa.CheckConstraint(f"state IN ({states})", name=op.f("ck_archived_sessions_state_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archived_sessions")),
    )
    for name, columns in (("name", ["account_id", "name"]), ("ended", ["account_id", "ended_at"])):
        op.create_index(
            f"ix_archived_sessions_account_{name}",
            "archived_sessions",
            columns,
            postgresql_where=_NOT_DELETED,
            sqlite_where=_NOT_DELETED,
        )
    op.create_table(
        "archived_ledger",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("at", at, nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("debit", sa.String(), nullable=False),
        sa.Column("credit", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archived_ledger")),
    )
    op.create_index("ix_archived_ledger_account", "archived_ledger", ["account_id", "id"])
    op.create_index("ix_archived_ledger_session", "archived_ledger", ["session_id"])
    op.create_table(
        "archived_books",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("book", sa.String(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("amount", "entries", "kept_amount", "kept_entries")
        ),
        sa.PrimaryKeyConstraint("account_id", "book", name=op.f("pk_archived_books")),
    )


def _on_sqlite() -> list[str]:
    return [
        "DROP TRIGGER ledger_is_never_deleted",
        _raising("ledger_entries_leave", f"BEFORE DELETE ON ledger WHEN NOT ({_MAY_LEAVE})", _REFUSED),
        "CREATE TRIGGER ledger_entries_have_left AFTER DELETE ON ledger WHEN OLD.kind <> 'opening'"
        f" BEGIN {_ADD_UP} END",
        _raising("archived_ledger_is_never_changed", "BEFORE UPDATE ON archived_ledger", _KEPT_FOR_GOOD),
        _raising("archived_ledger_is_never_deleted", "BEFORE DELETE ON archived_ledger", _KEPT_FOR_GOOD),
        f"CREATE TRIGGER archived_sessions_come AFTER INSERT ON archived_sessions WHEN {_COUNTS}"
        f" BEGIN {_one('NEW', '')} END",
        "CREATE TRIGGER archived_sessions_are_deleted AFTER UPDATE OF deleted_at ON archived_sessions"
        f" WHEN {_STOPS_COUNTING} BEGIN {_one('OLD', '-')} END",
    ]


def _on_postgresql() -> list[str]:
    refuse = f"IF NOT ({_MAY_LEAVE}) THEN RAISE EXCEPTION '{_REFUSED}'; END IF;"
    bodies = ((refuse, "OLD"), (_ADD_UP, "NULL"), (_one("NEW", ""), "NULL"), (_one("OLD", "-"), "NULL"))
    return [
        *(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {body} RETURN {returns}; END $$"
            for name, (body, returns) in zip(_FUNCTIONS, bodies, strict=True)
        ),
        "DROP TRIGGER ledger_is_append_only ON ledger",
        _append_only("ledger", "UPDATE OR TRUNCATE"),
        "CREATE TRIGGER ledger_entries_leave BEFORE DELETE ON ledger"
        " FOR EACH ROW EXECUTE FUNCTION let_ledger_entries_leave()",
        "CREATE TRIGGER ledger_entries_have_left AFTER DELETE ON ledger"
        " FOR EACH ROW WHEN (OLD.kind <> 'opening') EXECUTE FUNCTION add_up_what_left_the_ledger()",
        _append_only("archived_ledger", "UPDATE OR DELETE OR TRUNCATE"),
        "CREATE TRIGGER archived_sessions_come AFTER INSERT ON archived_sessions"
        f" FOR EACH ROW WHEN ({_COUNTS}) EXECUTE FUNCTION count_archived_sessions()",
        "CREATE TRIGGER archived_sessions_are_deleted AFTER UPDATE OF deleted_at ON archived_sessions"
        f" FOR EACH ROW WHEN ({_STOPS_COUNTING}) EXECUTE FUNCTION discount_archived_sessions()",
    ]


def _append_only(table: str, what: str) -> str:
    return (
        f"CREATE TRIGGER {table}_is_append_only BEFORE {what} ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()"
    )


def _raising(name: str, when: str, message: str) -> str:
    return f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, '{message}'); END"


def _one(row: str, sign: str) -> str:
    return (
        "INSERT INTO session_counts (account_id, state, provider, n)"  # noqa: S608
        f" VALUES ({row}.account_id, {row}.state, coalesce({row}.provider, ''), {sign}1)"
        " ON CONFLICT (account_id, state, provider) DO UPDATE SET n = session_counts.n + excluded.n;"
    )
