"""A past: as many ended sessions as a test needs, with all that belongs to them, in a few statements."""

from datetime import timedelta
from decimal import Decimal

from sqlalchemy import Connection, Table, text

from orchestrator.rules.values import Plan
from orchestrator.store.plain import table_of
from orchestrator.store.queries.audit_findings import EVENTS_SINCE
from tests.money.stage import HOUR, Stage

#: An account that keeps ended sessions and is counted anyway.
KEEPER = Plan(name="keeper", max_sessions=100_000_000, max_concurrent=5)
#: The default number of copies with events: those of the others were pruned long ago.
TOLD = 2000
#: Columns that count up by themselves.
_SERIAL = {"outbox": "seq", "ledger": "id"}


def open_account(stage: Stage) -> None:
    """Open an account of the plan `keeper` with more money than a million sessions cost."""
    stage.open_account("acme", KEEPER.name, "100000000")


def give_a_past(stage: Stage, sessions: int, reported: int = TOLD) -> None:
    """Give `acme` this many ended sessions, each with a placement and its charges, and `reported` of them with
    events."""
    one = "acme-old"
    stage.done("session.create", account_id="acme", model_id="llama", session_id=one, name=one)
    stage.settle()
    stage.jump(timedelta(seconds=90))
    stage.done("session.close", session_id=one)
    stage.settle()
    if sessions > 1:
        multiply(stage, one, sessions - 1, reported=reported)
    stage.jump(HOUR)


def multiply(stage: Stage, session_id: str, times: int, first: int = 1, reported: int = TOLD) -> None:
    """Multiply an ended session, numbered from `first`; its account pays for all copies."""
    with stage.services.database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("UPDATE outbox SET delivered_at = time"))
        for name, own, where in (
            ("sessions", {"id": _each(session_id), "name": _each(session_id)}, "id"),
            (
                "placements",
                dict.fromkeys(("session_id",), _each(session_id))
                | {"id": "id || '-' || k", "handle": "id || '-' || k"},
                "session_id",
            ),
            ("ledger", {"session_id": _each(session_id), "key": "key || '-' || k"}, "session_id"),
            ("outbox", {"subject": _each(session_id), "id": "id || '-' || k"}, "subject"),
        ):
            copies = min(times, reported) if name == "outbox" else times
            copy(connection, table_of(name), own, where, session_id, range(first, first + copies))
        _pay(connection, session_id, times)
    stage.services.database.transact(lambda tx: tx.findings.move({EVENTS_SINCE: str(tx.now())}, tx.now()))
    analyse(stage)


def analyse(stage: Stage) -> None:
    """Give PostgreSQL's planner its statistics; in production no SQLite has them either."""
    engine = stage.services.database.engine
    if engine.dialect.name == "sqlite":
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("RESET statement_timeout"))


def _each(session_id: str) -> str:
    return f"'{session_id}-' || k"


def copy(
    connection: Connection, table: Table, own: dict[str, str], where: str, which: str, numbered: range
) -> None:
    """Copy the rows of `which`, once for each number `k`; `own`: the columns in which copies differ."""
    names = [column.name for column in table.columns if _SERIAL.get(table.name) != column.name]
    values = ", ".join(own.get(name, name) for name in names)
    if connection.dialect.name == "postgresql":
        numbers = f"generate_series({numbered.start}, {numbered.stop - 1}) AS k"
        insert = f"INSERT INTO {table.name} ({', '.join(names)})"
    else:
        numbers = "n"
        insert = (
            f"WITH RECURSIVE n(k) AS (SELECT {numbered.start} UNION ALL"
            f" SELECT k + 1 FROM n WHERE k < {numbered.stop - 1})"
            f" INSERT INTO {table.name} ({', '.join(names)})"
        )
    connection.execute(
        text(f"{insert} SELECT {values} FROM {table.name}, {numbers} WHERE {where} = '{which}'")
    )


def _pay(connection: Connection, session_id: str, times: int) -> None:
    """Subtract the copies' charges from the balance."""
    query = "SELECT account_id, charged FROM sessions WHERE id = :id"
    account_id, micros = connection.execute(text(query), {"id": session_id}).one()
    assert Decimal(micros) > 0
    connection.execute(
        text("UPDATE accounts SET balance = balance - :spent WHERE id = :id"),
        {"spent": micros * times, "id": account_id},
    )


def catch_up(stage: Stage) -> None:
    """Record that a run of the audit had read all of it while it happened."""
    heads = {"events": "SELECT max(seq) FROM outbox", "entries": "SELECT max(id) FROM ledger"}
    with stage.services.database.engine.connect() as connection:
        last = {feed: str(connection.execute(text(query)).scalar() or 0) for feed, query in heads.items()}
    stage.services.database.transact(lambda tx: tx.findings.move(last, tx.now()))
