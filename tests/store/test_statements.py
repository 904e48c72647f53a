"""The hot queries stay few and on their indexes, however many rows there are."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.rules.audit.invariants import Invariant, Violation
from orchestrator.rules.states import Step
from orchestrator.store.database import Database
from orchestrator.store.plain import table_of
from orchestrator.store.queries.audit import Posted
from orchestrator.store.transaction import Transaction
from tests.rules.builders import SECOND, T0
from tests.servers import Postgres
from tests.store.stage import (
    a_closing,
    a_placement,
    a_queued,
    a_running,
    keep,
    session_id,
    statements,
    stock,
)
from tests.store.test_pings import claim, good, keep_running, settle

LIVE = 20_000


def verbs(seen: list[tuple[str, Any]]) -> list[str]:
    """Return the first word of each statement, without common table expressions."""
    return ["UPDATE" if "UPDATE sessions" in statement else statement.split()[0] for statement, _ in seen]


@pytest.mark.parametrize("rows", [1, 50])
def test_a_claim_of_pings_is_two_statements_however_many_rows(database: Database, rows: int) -> None:
    keep_running(database, *(a_running(n) for n in range(1, rows + 1)))
    with statements(database) as seen:
        assert len(claim(database)) == rows
    assert verbs(seen) == ["UPDATE", "SELECT"]


def test_a_claim_that_finds_nothing_is_one_statement(database: Database) -> None:
    with statements(database) as seen:
        assert claim(database) == []
    assert verbs(seen) == ["UPDATE"]


@pytest.mark.parametrize("rows", [1, 50])
def test_a_bulk_settlement_is_one_statement_on_postgresql(on_postgresql: Database, rows: int) -> None:
    keep_running(on_postgresql, *(a_running(n) for n in range(1, rows + 1)))
    claim(on_postgresql)
    with statements(on_postgresql) as seen:
        settled = settle(on_postgresql, [good(n) for n in range(1, rows + 1)])
        assert len(settled) == rows
    assert verbs(seen) == ["UPDATE"]


def test_events_of_a_transaction_are_one_statement(database: Database) -> None:
    with statements(database) as seen:
        keep(database, *(a_running(n) for n in range(1, 11)))
    assert len([statement for statement, _ in seen if "outbox" in statement]) == 1


@pytest.fixture(scope="module")
def crowded(postgres: Postgres) -> Iterator[Database]:
    """Insert 20,000 live sessions and as many live placements; a hundredth of them are due."""
    with postgres.fresh_database() as url:
        database = Database(url, clock=lambda: T0)
        stock(database)
        keep(database, a_running(0), a_closing(0), a_queued(1), a_placement(1))
        database.transact(_crowd)
        yield database
        database.dispose()


def _crowd(tx: Transaction) -> None:
    for table, template, own in (
        ("sessions", session_id(0), {"id": "'s' || k", "name": "'s' || k"}),
        ("placements", "placement-00000", {"id": "'p' || k", "session_id": "'s' || k", "handle": "'h' || k"}),
    ):
        own["next_step_at"] = "next_step_at + make_interval(secs => k - 200)"
        columns = [column.name for column in table_of(table).columns]
        values = ", ".join(own.get(name, name) for name in columns)
        tx.connection.execute(
            text(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values}"
                f" FROM {table}, generate_series(1, {LIVE}) AS k WHERE id = '{template}'"
            )
        )
    entry = "key, at, account_id, session_id, kind, debit, credit, amount, currency, note"
    charge = "'k' || k, now(), 'acme', 's' || k, 'charge', 'account:acme', 'revenue', 1, 'USD', ''"
    tx.connection.execute(
        text(f"INSERT INTO ledger ({entry}) SELECT {charge} FROM generate_series(1, {LIVE}) AS k")
    )
    reported = "'e' || k, 'orchestrator.session.running', 's' || k, now(), '{}', now()"
    event = "id, type, subject, time, data, delivered_at"
    tx.connection.execute(
        text(f"INSERT INTO outbox ({event}) SELECT {reported} FROM generate_series(1, {LIVE}) AS k")
    )
    for name in ("sessions", "next_steps", "placements", "accounts", "models", "ledger", "outbox"):
        tx.connection.execute(text(f"ANALYZE {name}"))


def plans(database: Database, work: Any) -> str:
    """Return the plans of every statement that `work` executes."""
    with statements(database) as seen:
        database.transact(work)
    with database.engine.connect() as connection:
        lines = [
            line
            for statement, parameters in seen
            for line in connection.exec_driver_sql("EXPLAIN " + statement, parameters).scalars()
        ]
    return "\n".join(lines)


def test_claims_among_many_live_rows_use_the_index_of_what_is_due(crowded: Database) -> None:
    def claim_pings(tx: Transaction) -> None:
        tx.pings.claim("alpha", 50, now=T0, token="t", lease_seconds=90)

    def claim_closes(tx: Transaction) -> None:
        claimed = tx.claims.claim(
            Step.CLOSE,
            "alpha",
            50,
            now=T0,
            token="t",
            lease_seconds=90,
            fallback_seconds=0,
            rest_seconds=0,
        )
        assert len(claimed) == 50

    for work, index in ((claim_pings, "ix_next_steps_due"), (claim_closes, "ix_placements_due")):
        plan = plans(crowded, work)
        assert f"Index Scan using {index}" in plan
        assert "Seq Scan" not in plan, plan


def test_nothing_that_is_asked_often_reads_all_live_rows(crowded: Database) -> None:
    def ask(tx: Transaction) -> None:
        for step in (Step.STOP, Step.WARN, Step.PING):
            tx.sessions.due(step, T0, 50)
        tx.queues.due_to_be_admitted(T0, 50)
        tx.queues.wake_waiting_for_provider("alpha", T0)
        tx.queues.wake_next_queued("acme", T0 - SECOND)
        tx.sessions.by_name("acme", "s1")
        tx.sessions.standing("acme")
        tx.newcomers.read("acme", T0, {None: 600}, session_id="s0", name="s1", model_id="llama")
        tx.placements.serving("s1")
        tx.placements.unended("s1")

    plan = plans(crowded, ask)
    assert "Seq Scan on sessions" not in plan, plan
    assert "Seq Scan on placements" not in plan, plan


def test_a_settlement_among_many_live_rows_finds_its_own_by_key(crowded: Database) -> None:
    plan = plans(crowded, lambda tx: tx.pings.settle_good([good(n) for n in range(1, 501)]))
    assert "Seq Scan" not in plan, plan
    assert "Join Filter" not in plan, plan  # each ping would be compared with every other


def test_the_audit_reads_no_table_to_its_end(crowded: Database) -> None:
    def look(tx: Transaction) -> None:
        ids = [f"s{n}" for n in range(1, 500)]
        tx.audit.announced_since(LIVE - 100, T0, 100)
        tx.audit.posted_since(LIVE - 100, T0, 100)
        tx.audit.sessions_after("s1", 500)
        tx.audit.sessions(ids)
        tx.audit.active(["somebody"], 5)
        live = tx.live_audit
        live.impossible_sessions()
        live.impossible_placements()
        live.overdue(T0 - 1000 * SECOND)
        live.shared_keys()
        live.undelivered(T0)
        live.silent_scheduler(T0)
        tx.outbox.forget_before(T0, 100)

    plan = plans(crowded, look)
    for table in ("sessions", "placements", "ledger", "outbox"):
        assert f"Seq Scan on {table}" not in plan, plan
    assert "ix_sessions_impossible" in plan
    assert "ix_placements_impossible" in plan


def test_the_audit_adds_up_only_what_an_account_was_posted_since(crowded: Database) -> None:
    with crowded.reading() as tx:
        everything = tx.audit.ledgers(["acme"], recompute=True)
    assert everything["acme"].balance == Decimal(-LIVE) / 1_000_000
    crowded.transact(lambda tx: tx.findings.remember_ledgers(everything))
    with crowded.reading() as tx:
        assert tx.audit.ledgers(["acme"], recompute=False) == everything
    plan = plans(crowded, lambda tx: tx.audit.ledgers(["acme"], recompute=False))
    assert "Seq Scan on ledger" not in plan, plan
    assert "id > COALESCE" in plan


def test_the_audit_saves_any_number_of_findings_in_one_statement(on_postgresql: Database) -> None:
    def save(number: int) -> int:
        found = [Violation(Invariant.BALANCE, f"a{n}", f"one of {number}") for n in range(number)]
        posted = {f"a{n}": Posted(ledger_id=n, balance=Decimal(number)) for n in range(number)}

        def work(tx: Transaction) -> None:
            tx.findings.replace([], found, T0 + timedelta(seconds=number))
            tx.findings.remember_ledgers(posted)

        with statements(on_postgresql) as seen:
            on_postgresql.transact(work)
        with on_postgresql.reading() as tx:
            standing = tx.findings.standing(1_000)
        assert {one.finding for one in standing} == {*found}
        assert standing[0].since == T0 + timedelta(seconds=2)  # when it was found first
        return len(seen)

    assert save(2) == save(50) == 2
