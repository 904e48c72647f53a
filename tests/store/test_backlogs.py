"""What is overdue at one provider costs nothing at another: every look and every claim there reads its own rows."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Table, text

from orchestrator.rules.states import Step
from orchestrator.store.database import Database
from orchestrator.store.plain import table_of
from orchestrator.store.transaction import Transaction
from orchestrator.store.unreadable import set_aside
from tests.rules.builders import HOUR, SECOND, T0
from tests.servers import Postgres
from tests.store.stage import a_closing, a_running, keep, session_id, statements, stock

OVERDUE = 40_000
SESSIONS, PLACEMENTS = table_of("sessions"), table_of("placements")
#: Which table has the indexes of what is due.
DUE_OF = {"sessions": "next_steps", "placements": "placements"}
STEPS = (Step.OPEN, Step.RESOLVE, Step.CLOSE)


def claims() -> Iterator[tuple[str, Callable[[Transaction], Any], Table]]:
    """Yield every look for due rows and every claim, at a provider where nothing waits."""
    yield (
        "ping",
        lambda tx: tx.pings.claim("beta", 500, now=T0, token="t", lease_seconds=90, lacking=["env:B"]),
        SESSIONS,
    )
    yield "look for pings", lambda tx: tx.due_work.providers(Step.PING, ["beta"], T0), SESSIONS
    yield "pings aside", lambda tx: set_aside(tx.connection, Step.PING, "beta", T0, T0 + HOUR), SESSIONS
    for step in STEPS:
        yield f"look for {step}", _look(step), PLACEMENTS
        yield f"{step}", _claim(step), PLACEMENTS
        yield f"{step} aside", _aside(step), PLACEMENTS


def _look(step: Step) -> Callable[[Transaction], Any]:
    return lambda tx: tx.due_work.providers(step, ["beta"], T0)


def _aside(step: Step) -> Callable[[Transaction], Any]:
    return lambda tx: set_aside(tx.connection, step, "beta", T0, T0 + HOUR)


def _claim(step: Step) -> Callable[[Transaction], Any]:
    times: dict[str, Any] = {"lease_seconds": 90.0, "fallback_seconds": 0.0, "rest_seconds": 0.0}
    return lambda tx: tx.claims.claim(step, "beta", 500, now=T0, token="t", held=["f"], **times)


def plan_of(database: Database, work: Callable[[Transaction], Any]) -> str:
    """Return the plans of what `work` asks, as the database words them."""
    word = "EXPLAIN QUERY PLAN " if database.engine.dialect.name == "sqlite" else "EXPLAIN "
    with statements(database) as seen:
        database.transact(work)
    with database.engine.connect() as connection:
        rows = [
            row
            for statement, parameters in seen
            for row in connection.exec_driver_sql(word + statement, parameters)
        ]
    return "\n".join(str(row[-1]) for row in rows)


@pytest.fixture(scope="module")
def behind(postgres: Postgres) -> Iterator[Database]:
    """Let 40,000 pings, and as many opens, resolves and closes together, be overdue at alpha."""
    with postgres.fresh_database() as url:
        database = Database(url, clock=lambda: T0)
        stock(database)
        keep(database, a_running(0), a_closing(0))
        database.transact(_fall_behind)
        yield database
        database.dispose()


def _fall_behind(tx: Transaction) -> None:
    steps = ", ".join(f"'{step}'" for step in STEPS)
    own = {
        SESSIONS: {"id": "'s' || k", "name": "'s' || k"},
        PLACEMENTS: {
            "id": "'p' || k",
            "session_id": "'s' || k",
            "handle": "'h' || k",
            "next_step": f"(ARRAY[{steps}])[k % 3 + 1]",
        },
    }
    for table, values in own.items():
        columns = [column.name for column in table.columns]
        late = values | {"next_step_at": "next_step_at - make_interval(secs => k)"}
        chosen = ", ".join(late.get(name, name) for name in columns)
        source = f"{table.name}, generate_series(1, {OVERDUE}) AS k WHERE id IN (:session, 'placement-00000')"
        tx.connection.execute(
            text(f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {chosen} FROM {source}"),
            {"session": session_id(0)},
        )
        tx.connection.execute(text(f"ANALYZE {table.name}"))
    tx.connection.execute(text("ANALYZE next_steps"))


def test_a_claim_beside_a_backlog_reads_its_own_providers_rows(behind: Database) -> None:
    for name, work, table in claims():
        plan = plan_of(behind, work)
        assert f"ix_{DUE_OF[table.name]}_due_at_provider" in plan, f"{name}: {plan}"
        assert "Seq Scan on" not in plan, f"{name}: {plan}"


def test_a_claim_finds_its_own_providers_rows_on_sqlite(on_sqlite: Database) -> None:
    keep(on_sqlite, a_running(0, ping_at=T0 - SECOND), a_closing(0))
    for name, work, table in claims():
        of, step, at = (
            ("next_steps", "step", "at") if table is SESSIONS else ("placements", "next_step", "next_step_at")
        )
        found = f"INDEX ix_{of}_due_at_provider (provider=? AND {step}=? AND {at}<?)"
        plan = plan_of(on_sqlite, work)
        assert found in plan, f"{name}: {plan}"
