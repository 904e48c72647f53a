"""Add what accounts were charged by day, model and provider, and the trigger that keeps it.

Revision: 0038
Follows: 0037
"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_OF_SESSIONS = "('charge', 'reversal', 'write_off')"
_KEY = "account_id, day, model_id, provider, currency"
#: Entries that are added up while the ledger is locked. Older ones are added up before: none of them is still being
#: written, as a posting is over within seconds.
_NEWEST = 50_000
_TARGET = f"INSERT INTO daily_costs ({_KEY}, amount, entries, first_entry, last_entry)"


def upgrade() -> None:
    op.create_table(
        "daily_costs",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("amount", "entries", "first_entry", "last_entry")
        ),
        sa.PrimaryKeyConstraint(*_KEY.split(", "), name=op.f("pk_daily_costs")),
    )
    op.create_index("ix_daily_costs_day", "daily_costs", ["day"])
    dialect = op.get_bind().dialect.name
    newest: int = op.get_bind().execute(sa.text("SELECT coalesce(max(id), 0) FROM ledger")).scalar_one()
    before = newest - _NEWEST
    op.execute(_of_all(f"<= {before}", dialect))
    for statement in _on_sqlite() if dialect == "sqlite" else _on_postgresql():
        op.execute(statement)  # from here on the ledger is locked, and then the trigger sees every entry
    op.execute(_of_all(f"> {before}", dialect))


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute("DROP TRIGGER ledger_adds_to_costs" + ("" if sqlite else " ON ledger"))
    if not sqlite:
        op.execute("DROP FUNCTION add_to_costs()")
    op.drop_table("daily_costs")


def _day(row: str, dialect: str) -> str:
    return f"substr({row}.at, 1, 10)" if dialect == "sqlite" else f"({row}.at AT TIME ZONE 'UTC')::date"


def _values(row: str, model: str, provider: str, dialect: str) -> str:
    amount = f"CASE {row}.kind WHEN 'charge' THEN {row}.amount ELSE -{row}.amount END"
    return (
        f"{row}.account_id AS account_id, {_day(row, dialect)} AS day, coalesce({model}, '') AS model_id,"
        f" coalesce({provider}, '') AS provider, {row}.currency AS currency, {amount} AS amount, {row}.id AS id"
    )


def _of_new(row: str, dialect: str) -> str:
    model = f"(SELECT model_id FROM sessions WHERE id = {row}.session_id)"  # noqa: S608
    provider = (
        f"(SELECT provider FROM placements WHERE session_id = {row}.session_id ORDER BY n DESC LIMIT 1)"  # noqa: S608
    )
    return _values(row, model, provider, dialect)


def _add(dialect: str) -> str:
    least, most = ("min", "max") if dialect == "sqlite" else ("least", "greatest")
    return (
        f"ON CONFLICT ({_KEY}) DO UPDATE SET amount = daily_costs.amount + excluded.amount,"
        " entries = daily_costs.entries + excluded.entries,"
        f" first_entry = {least}(daily_costs.first_entry, excluded.first_entry),"
        f" last_entry = {most}(daily_costs.last_entry, excluded.last_entry)"
    )


def _summed(values: str, rows: str, dialect: str) -> str:
    each = f"SELECT {values} {rows}"
    sums = "sum(amount), count(*), min(id), max(id)"
    return f"{_TARGET} SELECT {_KEY}, {sums} FROM ({each}) AS entry GROUP BY {_KEY} ORDER BY {_KEY} {_add(dialect)};"  # noqa: S608


def _of_all(which: str, dialect: str) -> str:
    """Add up entries of the ledger and of its archive by their ids, each session as it was served last. One statement
    reads both, as entries move from one to the other."""
    archived_model = "json_extract(s.record, '$.session.model_id')"
    if dialect != "sqlite":
        archived_model = "s.record #>> '{session,model_id}'"
    live = _values("l", "s.model_id", "s.provider", dialect)
    archived = _values("l", archived_model, "s.provider", dialect)
    conditions = f"WHERE l.kind IN {_OF_SESSIONS} AND l.id {which}"
    both = (
        f"SELECT {live} FROM ledger AS l LEFT JOIN sessions AS s ON s.id = l.session_id {conditions}"  # noqa: S608
        f" UNION ALL SELECT {archived} FROM archived_ledger AS l"
        f" LEFT JOIN archived_sessions AS s ON s.id = l.session_id {conditions}"
    )
    return _summed("*", f"FROM ({both}) AS entries", dialect)


def _on_sqlite() -> list[str]:
    return [
        f"CREATE TRIGGER ledger_adds_to_costs AFTER INSERT ON ledger WHEN NEW.kind IN {_OF_SESSIONS} BEGIN"
        f" {_summed(_of_new('NEW', 'sqlite'), 'WHERE true', 'sqlite')} END"
    ]


def _on_postgresql() -> list[str]:
    rows = f"FROM touched WHERE touched.kind IN {_OF_SESSIONS}"
    return [
        "CREATE FUNCTION add_to_costs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" {_summed(_of_new('touched', 'postgresql'), rows, 'postgresql')} RETURN NULL; END $$",
        "CREATE TRIGGER ledger_adds_to_costs AFTER INSERT ON ledger REFERENCING NEW TABLE AS touched"
        " FOR EACH STATEMENT EXECUTE FUNCTION add_to_costs()",
    ]
