"""The database adds what sessions were charged by account, day, model and provider, for every writer."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.rules.billing.costs import CostsBy
from orchestrator.rules.states import StopReason
from orchestrator.store import migrate
from orchestrator.store.database import Database
from orchestrator.store.queries import costs
from orchestrator.store.queries.ledger import Entry, book_of
from tests.rules.builders import HOUR, T0, a_model
from tests.servers import Postgres
from tests.store.stage import (
    a_closing,
    a_created,
    a_placement,
    a_running,
    an_account,
    is_sqlite,
    keep,
    run,
    session_id,
    statements,
)

DAY = timedelta(days=1)
FIRST = date(1970, 1, 1)


def entry(n: int, amount: str, kind: str = "charge", *, of: int = 1, **changes: Any) -> Entry:
    """Return entry `n` of a session of acme."""
    mine, other = book_of("acme"), {"credit": "granted", "write_off": "written_off"}.get(kind, "revenue")
    debit, credit = (mine, other) if kind == "charge" else (other, mine)
    plain: dict[str, Any] = {
        "key": f"{kind}:{of}:{n}",
        "at": T0,
        "account_id": "acme",
        "session_id": None if kind == "credit" else session_id(of),
        "kind": kind,
        "debit": debit,
        "credit": credit,
        "amount": Decimal(amount),
        "currency": "USD",
    }
    return Entry(**(plain | changes))


def post(database: Database, *entries: Entry) -> None:
    database.transact(lambda tx: tx.ledger.post_all(entries))


def spent(database: Database, by: CostsBy, **which: Any) -> dict[str, Decimal]:
    with database.reading() as tx:
        found = tx.costs.spent(by, which.pop("since", FIRST), **which)
    assert {one.currency for one in found} <= {"USD"}
    return {one.key: one.amount for one in found}


def test_charges_are_added_up_less_what_came_back(database: Database) -> None:
    database.transact(lambda tx: tx.models.put(a_model(id="other")))
    keep(database, a_created(1), a_placement(1), a_created(2, model_id="other"))
    post(database, entry(1, "5"), entry(2, "3"), entry(3, "1", "reversal"), entry(4, "0.5", "write_off"))
    post(database, entry(5, "2", of=2), entry(6, "100", "credit"))
    assert spent(database, CostsBy.ACCOUNT) == {"acme": Decimal("8.5")}
    assert spent(database, CostsBy.MODEL) == {"llama": Decimal("6.5"), "other": 2}
    assert spent(database, CostsBy.PROVIDER) == {"alpha": Decimal("6.5"), "": 2}, (
        "the second was never placed"
    )


def test_days_are_those_of_utc(database: Database) -> None:
    keep(database, a_created(1), a_placement(1))
    midnight = T0.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    just_before = midnight - timedelta(microseconds=1)
    post(
        database, entry(1, "1", at=just_before), entry(2, "2", at=midnight), entry(3, "4", at=midnight + DAY)
    )
    day, next_day = just_before.date(), midnight.date()
    assert spent(database, CostsBy.DAY) == {str(day): 1, str(next_day): 2, str(next_day + DAY): 4}
    assert spent(database, CostsBy.DAY, since=next_day, until=next_day + DAY) == {str(next_day): 2}
    with database.reading() as tx:
        first, last = tx.costs.entries(next_day, next_day + DAY) or (0, 0)
        assert first == last == tx.ledger.lines("acme", 2)[1][0].id
        assert tx.costs.entries(day - DAY, day) is None


def test_a_charge_belongs_to_the_placement_that_it_pays_for(database: Database) -> None:
    keep(database, a_created(1), a_closing(1))
    post(database, entry(1, "1"))
    keep(database, a_placement(2, session_id=session_id(1), n=2, provider="beta"))
    post(database, entry(2, "2"))
    assert spent(database, CostsBy.PROVIDER) == {"alpha": 1, "beta": 2}


def test_what_leaves_the_ledger_stays_counted(database: Database) -> None:
    keep(database, a_created(1), a_placement(1))
    post(database, entry(1, "1"))
    run(database, "INSERT INTO archived_ledger SELECT * FROM ledger")
    run(database, "DELETE FROM ledger")
    assert spent(database, CostsBy.MODEL) == {"llama": 1}


def test_running_sessions_are_read_page_by_page(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "PAGE", 2)
    keep(database, an_account("b"), *(a_running(n, account_id="acme" if n % 2 else "b") for n in range(1, 6)))
    keep(database, a_created(9))
    idle = {"stop_at_reason": StopReason.IDLE, "idle_ends_at": T0 + HOUR, "stop_at": T0 + 2 * HOUR}
    keep(database, a_running(6, **idle))
    run(database, f"UPDATE accounts SET funds_session_id = '{session_id(3)}', funds_end_at = :at", at=T0)
    with database.reading() as tx:
        found = list(tx.costs.running())
        assert [(one.account_id, one.meter.id[-1]) for one in found] == [
            *(("acme", n) for n in "1356"),
            *(("b", n) for n in "24"),
        ]
        ends = {one.meter.id[-1]: one.ends_at for one in found}
        assert (ends["3"], ends["6"], ends["2"]) == (T0, T0 + HOUR, T0 + 2 * HOUR)
        assert [one.meter.id[-1] for one in tx.costs.running("b")] == ["2", "4"]
        assert (tx.costs.running_count(9), tx.costs.running_count(2), tx.costs.running_count(9, "b")) == (
            6,
            2,
            2,
        )


def test_a_month_of_an_account_is_a_range_of_an_index(database: Database) -> None:
    """However long the ledger is, and however many accounts there are."""
    with statements(database) as seen, database.reading() as tx:
        tx.costs.spent(CostsBy.DAY, T0.date(), T0.date() + 30 * DAY, "acme")
        tx.costs.entries(T0.date(), T0.date() + 30 * DAY, "acme")
        list(tx.costs.running("acme"))
    word = "EXPLAIN QUERY PLAN " if is_sqlite(database) else "EXPLAIN "
    with database.engine.begin() as connection:
        if not is_sqlite(database):
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        plans = [
            "\n".join(str(row[-1]) for row in connection.exec_driver_sql(word + statement, parameters))
            for statement, parameters in seen
            if "daily_costs" in statement or "sessions" in statement
        ]
    assert len(plans) == 3
    assert not any("ledger" in plan for plan in plans)
    assert not any("SCAN daily_costs" in plan or "Seq Scan" in plan for plan in plans), plans
    for plan in plans[:2]:
        assert "daily_costs" in plan
        assert "account_id" in plan, plan
        assert "day" in plan, plan


@pytest.fixture(params=["sqlite", "postgresql"])
def before_costs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Return a database of the schema before costs were added up, with an account, a model and a session."""
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/old.db"
        if request.param == "postgresql":
            server: Postgres = request.getfixturevalue("postgres")
            url = stack.enter_context(server.fresh_database(migrated=False))
        old = Database(url, clock=lambda: T0)
        stack.callback(old.dispose)
        migrate.upgrade(old, "0037")
        run(
            old,
            "INSERT INTO accounts (id, plan, currency, balance, revision, created_at)"
            " VALUES ('acme', 'payg', 'USD', 0, 0, :at)",
            at=T0,
        )
        old.transact(lambda tx: tx.models.put(a_model()))
        keep(old, a_created(1, provider="alpha"))
        yield old


def test_entries_before_the_migration_are_added_up(before_costs: Database) -> None:
    """Far and near ones, in the ledger and in its archive."""
    for number, n in enumerate((1, 2, 100_001, 100_002)):
        run(
            before_costs,
            "INSERT INTO ledger (id, key, at, account_id, session_id, kind, debit, credit, amount, currency, note)"
            " VALUES (:id, :key, :at, 'acme', :session, 'charge', 'account:acme', 'revenue', :amount, 'USD', '')",
            id=n,
            key=f"charge:{n}",
            at=T0,
            session=session_id(1) if n % 2 else "long-ago",
            amount=10**number * 1_000_000,
        )
    run(
        before_costs,
        "INSERT INTO archived_sessions (id, account_id, name, state, provider, request_digest, charged, charges,"
        " currency, created_at, ended_at, archived_at, record) VALUES ('long-ago', 'acme', 'x', 'stopped', 'beta',"
        " '', 0, 0, 'USD', :at, :at, :at, :record)",
        at=T0,
        record='{"session": {"model_id": "other"}, "placements": []}',
    )
    if not is_sqlite(before_costs):
        run(before_costs, "SELECT setval(pg_get_serial_sequence('ledger', 'id'), 200000)")
    run(before_costs, "INSERT INTO archived_ledger SELECT * FROM ledger WHERE session_id = 'long-ago'")
    run(before_costs, "DELETE FROM ledger WHERE session_id = 'long-ago'")
    migrate.upgrade(before_costs)
    assert spent(before_costs, CostsBy.MODEL) == {"llama": 101, "other": 1010}
    assert spent(before_costs, CostsBy.PROVIDER) == {"alpha": 101, "beta": 1010}
    assert spent(before_costs, CostsBy.DAY) == {str(T0.date()): 1111}
    post(before_costs, entry(9, "5"))
    assert spent(before_costs, CostsBy.MODEL) == {"llama": 106, "other": 1010}
