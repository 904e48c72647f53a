"""Add triggers that sum up starting and running sessions which are alike.

An account's hourly posting remembers how far it has come. Where SQLite needs the table `sessions` rebuilt (batch mode),
its triggers must be made again too.

Revision: 0031
Follows: 0030
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_ACTIVE = sa.text("state IN ('starting', 'running') AND deleted_at IS NULL")
_INDEXES = {
    "ix_sessions_account_active": ["account_id", "id"],
    "ix_sessions_account_stops": ["account_id", "stop_at"],
}
_KEY = "account_id, phase, price_per_node_hour, nodes, block_seconds"
_SUMS = ("sessions", "charged", "since_seconds", "ran_seconds")
_WATCHED = (
    "account_id",
    "state",
    "deleted_at",
    "running_at",
    "running_since",
    "ran_microseconds",
    "charged",
    "price_per_node_hour",
    "nodes",
    "block_seconds",
)
_TARGET = f"INSERT INTO session_groups ({_KEY}, {', '.join(_SUMS)}, latest_second)"
_FUNCTIONS = ("group_sessions_that_come", "group_sessions_that_go", "group_a_session_that_changes")
_TRIGGERS = ("sessions_join_groups", "sessions_leave_groups", "sessions_change_groups")


def upgrade() -> None:
    op.add_column("accounts", sa.Column("charging_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("accounts", sa.Column("charged_up_to", sa.String(), nullable=True))
    op.create_table(
        "session_groups",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("price_per_node_hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("nodes", sa.Integer(), nullable=False),
        sa.Column("block_seconds", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in (*_SUMS, "latest_second")),
        sa.PrimaryKeyConstraint(*_KEY.split(", "), name=op.f("pk_session_groups")),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _on_sqlite() if sqlite else _on_postgresql():
        op.execute(statement)  # from here on the triggers see every change
    op.execute(_many("", "sessions", op.get_bind().dialect.name))
    for name, columns in (
        _INDEXES.items() if sqlite else ()
    ):  # on PostgreSQL, concurrently, by `store.migrate`
        op.create_index(name, "sessions", columns, sqlite_where=_ACTIVE)


def downgrade() -> None:
    for name in _INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    sqlite = op.get_bind().dialect.name == "sqlite"
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name}" + ("" if sqlite else " ON sessions"))
    for name in () if sqlite else _FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
    op.drop_table("session_groups")
    op.drop_column("accounts", "charged_up_to")
    op.drop_column("accounts", "charging_since")


def _is_active(row: str) -> str:
    return f"{row}.state IN ('starting', 'running') AND {row}.deleted_at IS NULL"


def _group(row: str) -> str:
    phase = (
        f"CASE WHEN {row}.state = 'running' THEN 'running'"
        f" WHEN {row}.running_at IS NULL THEN 'starting' ELSE 'moving' END"
    )
    return f"{row}.account_id, {phase}, {row}.price_per_node_hour, {row}.nodes, {row}.block_seconds"


def _since(row: str, dialect: str) -> str:
    if dialect == "sqlite":
        return f"coalesce(CAST(strftime('%s', substr({row}.running_since, 1, 19)) AS INTEGER), 0)"
    return f"coalesce(floor(extract(epoch FROM {row}.running_since))::bigint, 0)"


def _add(dialect: str) -> str:
    sums = ", ".join(f"{name} = session_groups.{name} + excluded.{name}" for name in _SUMS)
    latest = "max" if dialect == "sqlite" else "greatest"
    return (
        f"ON CONFLICT ({_KEY}) DO UPDATE SET {sums},"
        f" latest_second = {latest}(session_groups.latest_second, excluded.latest_second)"
    )


def _one(row: str, dialect: str) -> str:
    sign = "-" if row == "OLD" else ""
    since = _since(row, dialect)
    sums = f"{sign}1, {sign}{row}.charged, {sign}{since}, {sign}({row}.ran_microseconds / 1000000)"
    latest = "0" if sign else f"{since} + 1"
    return f"{_TARGET} SELECT {_group(row)}, {sums}, {latest} WHERE {_is_active(row)} {_add(dialect)};"


def _many(sign: str, rows: str, dialect: str) -> str:
    since = _since(rows, dialect)
    each = (f"{rows}.charged", since, f"{rows}.ran_microseconds / 1000000")
    sums = ", ".join(f"{sign}sum({what})" for what in each)
    latest = "0" if sign else f"max({since}) + 1"
    return (
        f"{_TARGET} SELECT {_group(rows)}, {sign}count(*), {sums}, {latest} FROM {rows}"  # noqa: S608
        f" WHERE {_is_active(rows)} GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 {_add(dialect)};"
    )


def _clear(accounts: str) -> str:
    return f"DELETE FROM session_groups WHERE account_id IN ({accounts}) AND sessions = 0;"  # noqa: S608


def _on_sqlite() -> list[str]:
    joins, leaves, changes = _TRIGGERS
    old, new, clear = _one("OLD", "sqlite"), _one("NEW", "sqlite"), _clear("OLD.account_id")
    either = f"({_is_active('OLD')}) OR ({_is_active('NEW')})"
    return [
        f"CREATE TRIGGER {name} AFTER {when} ON sessions WHEN {condition} BEGIN {body} END"
        for name, when, condition, body in (
            (joins, "INSERT", f"({_is_active('NEW')})", new),
            (leaves, "DELETE", f"({_is_active('OLD')})", f"{old} {clear}"),
            (changes, f"UPDATE OF {', '.join(_WATCHED)}", either, f"{old} {new} {clear}"),
        )
    ]


def _on_postgresql() -> list[str]:
    postgresql = "postgresql"
    going = _many("-", "touched", postgresql) + " " + _clear("SELECT account_id FROM touched")  # noqa: S608
    changing = f"{_one('OLD', postgresql)} {_one('NEW', postgresql)} {_clear('OLD.account_id')}"
    bodies = (_many("", "touched", postgresql), going, changing)
    old, new = (", ".join(f"{row}.{name}" for name in _WATCHED) for row in ("OLD", "NEW"))
    joins, leaves, changes = _TRIGGERS
    come, go, change = _FUNCTIONS
    return [
        *(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$"
            for name, body in zip(_FUNCTIONS, bodies, strict=True)
        ),
        f"CREATE TRIGGER {joins} AFTER INSERT ON sessions REFERENCING NEW TABLE AS touched"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {come}()",
        f"CREATE TRIGGER {leaves} AFTER DELETE ON sessions REFERENCING OLD TABLE AS touched"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {go}()",
        f"CREATE TRIGGER {changes} AFTER UPDATE OF {', '.join(_WATCHED)} ON sessions FOR EACH ROW"
        f" WHEN (({old}) IS DISTINCT FROM ({new}) AND (({_is_active('OLD')}) OR ({_is_active('NEW')})))"
        f" EXECUTE FUNCTION {change}()",
    ]
