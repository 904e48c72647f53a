"""Add a table of the next step of each session, kept by triggers: no index of `sessions` names what a ping changes.

Where SQLite needs the table `sessions` rebuilt (batch mode), its triggers must be made again too. On PostgreSQL
`store.migrate` drops the indexes that old workers claim by, once none of these workers is left.

Revision: 0037
Follows: 0036
"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

_WATCHED = "next_step, next_step_at, provider"
_TARGET = "INSERT INTO next_steps (step, at, provider, session_id)"
_AGAIN = "ON CONFLICT (session_id) DO UPDATE SET step = excluded.step, at = excluded.at, provider = excluded.provider"
_VALUES = "NEW.next_step, NEW.next_step_at, NEW.provider, NEW.id"
_UPDATE = (
    "UPDATE next_steps SET step = NEW.next_step, at = NEW.next_step_at, provider = NEW.provider"
    " WHERE session_id = NEW.id;"
)
_DELETE = "DELETE FROM next_steps WHERE session_id = OLD.id;"
_HAS, _HAD = "NEW.next_step IS NOT NULL", "OLD.next_step IS NOT NULL"
_LOSES = f"NEW.next_step IS NULL AND {_HAD}"
_DIFFERS = (
    f"{_HAS} AND (NEW.next_step_at IS DISTINCT FROM OLD.next_step_at OR NEW.next_step IS DISTINCT FROM OLD.next_step"
    " OR NEW.provider IS DISTINCT FROM OLD.provider)"
)
_INDEXES = {"ix_next_steps_due": ["step", "at"], "ix_next_steps_due_at_provider": ["provider", "step", "at"]}
_OLD = {
    "ix_sessions_due": "(next_step, next_step_at)",
    "ix_sessions_due_at_provider": "(provider, next_step, next_step_at)",
}
_FUNCTIONS = {
    "write_next_steps": f"{_TARGET} SELECT {_WATCHED}, id FROM touched WHERE next_step IS NOT NULL {_AGAIN};",  # noqa: S608
    "write_next_step": f"{_UPDATE} IF NOT FOUND THEN {_TARGET} VALUES ({_VALUES}); END IF;",
    "delete_next_step": _DELETE,
}
_TRIGGERS = (
    "sessions_get_a_step",
    "sessions_change_their_step",
    "sessions_lose_their_step",
    "sessions_go_with_their_step",
)


def upgrade() -> None:
    op.create_table(
        "next_steps",
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=True),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_next_steps")),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _on_sqlite() if sqlite else _on_postgresql():
        op.execute(statement)  # from here on the triggers see every change
    op.execute(f"{_TARGET} SELECT {_WATCHED}, id FROM sessions WHERE next_step IS NOT NULL")  # noqa: S608
    for name, columns in _INDEXES.items():  # sorted at once, rather than row by row
        op.create_index(name, "next_steps", columns)
    if not sqlite:
        op.execute("ANALYZE next_steps")  # claims look into it at once
    for name in _OLD if sqlite else ():
        op.execute(f"DROP INDEX {name}")


def downgrade() -> None:
    for name, columns in _OLD.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON sessions {columns} WHERE next_step IS NOT NULL")
    sqlite = op.get_bind().dialect.name == "sqlite"
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name}" + ("" if sqlite else " ON sessions"))
    for name in () if sqlite else _FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}()")
    if not sqlite:
        op.execute("ALTER TABLE sessions RESET (fillfactor)")
    op.drop_table("next_steps")


def _on_sqlite() -> list[str]:
    write, differs = f"{_TARGET} VALUES ({_VALUES}) {_AGAIN};", _DIFFERS.replace("IS DISTINCT FROM", "IS NOT")
    get, change, lose, go = _TRIGGERS
    return [
        f"CREATE TRIGGER {name} AFTER {when} ON sessions WHEN {condition} BEGIN {body} END"
        for name, when, condition, body in (
            (get, "INSERT", _HAS, write),
            (change, f"UPDATE OF {_WATCHED}", differs, write),
            (lose, "UPDATE OF next_step", _LOSES, _DELETE),
            (go, "DELETE", _HAD, _DELETE),
        )
    ]


def _on_postgresql() -> list[str]:
    get, change, lose, go = _TRIGGERS
    return [
        "ALTER TABLE sessions SET (fillfactor = 70)",  # room on each page for the next version of a row
        *(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$"
            for name, body in _FUNCTIONS.items()
        ),
        f"CREATE TRIGGER {get} AFTER INSERT ON sessions REFERENCING NEW TABLE AS touched"
        " FOR EACH STATEMENT EXECUTE FUNCTION write_next_steps()",
        *(
            f"CREATE TRIGGER {name} AFTER {when} ON sessions FOR EACH ROW WHEN ({condition})"
            f" EXECUTE FUNCTION {function}()"
            for name, when, condition, function in (
                (change, f"UPDATE OF {_WATCHED}", _DIFFERS, "write_next_step"),
                (lose, "UPDATE OF next_step", _LOSES, "delete_next_step"),
                (go, "DELETE", _HAD, "delete_next_step"),
            )
        ),
    ]
