"""Lists page by page: each is read from an index, and stays quick beside many rows."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.client.close_many import CloseMany
from orchestrator.flows.jobs.close_many import planned
from orchestrator.flows.reports import account_view, installation_reports, leftovers, views
from orchestrator.flows.reports.budgets import read_budgets
from orchestrator.flows.reports.costs import MOST_ON_A_PAGE, costs
from orchestrator.flows.reports.history import last_hour
from orchestrator.flows.reports.overview import overview
from orchestrator.rules.billing.costs import CostsBy
from orchestrator.rules.states import State
from orchestrator.rules.values import Account, Budget, BudgetPeriod, Model, ModelSource, Session
from orchestrator.settings import Configuration
from orchestrator.store.database import Database
from orchestrator.store.plain import table_of
from orchestrator.store.queries.lookups import RowKind
from orchestrator.store.queries.pages import Behind, Pages, SessionFilter
from orchestrator.store.transaction import Transaction
from tests.rules.builders import SECOND, T0, a_model
from tests.servers import Postgres
from tests.store.stage import (
    a_closing,
    a_created,
    a_placement,
    a_queued,
    an_account,
    keep,
    session_id,
    statements,
    stock,
)

MANY = 100_000
#: Seconds in which a page is read, and how often that is tried.
QUICK, TRIES = 0.3, 5
_OTHERS = {
    "id": "'many-' || n",
    "name": "'name-' || n",
    "created_at": "created_at - (n / 3) * interval '1 second'",
}
_COLUMNS = [column.name for column in table_of("sessions").columns]
_COPIES = (
    f"INSERT INTO sessions ({', '.join(_COLUMNS)}) SELECT {', '.join(_OTHERS.get(one, one) for one in _COLUMNS)}"
    " FROM sessions, generate_series(2, :many) AS n"
)
#: Every combination that a client may ask for.
FILTERS = {
    "everything": SessionFilter(),
    "states": SessionFilter(states=(State.RUNNING, State.STOPPED)),
    "an account": SessionFilter(account_id="acme"),
    "an account's state": SessionFilter(account_id="acme", states=(State.STOPPED,)),
    "a name": SessionFilter(name="name-7"),
    "a beginning": SessionFilter(begins="name-7"),
    "a beginning that none has": SessionFilter(begins="nothing"),
    "an account's name": SessionFilter(account_id="acme", name="name-7"),
    "a provider": SessionFilter(provider="alpha"),
    "a provider without sessions": SessionFilter(provider="beta"),
    "a model without sessions": SessionFilter(model_id="none"),
    "unproven": SessionFilter(unproven=True),
    "since": SessionFilter(since=T0 - timedelta(hours=1)),
}


def ids(tx: Transaction, wanted: SessionFilter, limit: int, **how: int) -> list[str]:
    """Return the ids of all pages, in their order."""
    found: list[str] = []
    behind: Behind | None = None
    while True:
        page = tx.pages.sessions(wanted, limit, behind, **how)
        found += [one.id for one in page.sessions]
        behind = page.behind
        if behind is None:
            return found


def seconds(database: Database, read: Callable[[Transaction], object]) -> float:
    """Return how long the quickest of some reads takes: other work on the machine slows some of them down."""

    def once() -> float:
        began = time.monotonic()
        with database.reading() as tx:
            read(tx)
        return time.monotonic() - began

    return min(once() for _ in range(TRIES))


def _put(tx: Transaction, model: Model) -> bool:
    return tx.models.put(model)


def stopped(n: int, **changes: object) -> Session:
    """Return a session that was created `n // 3` seconds before T0 and has stopped: three share an instant."""
    plain = replace(a_created(n), state=State.STOPPED, created_at=T0 - (n // 3) * SECOND, ended_at=T0)
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_hold_each_session_once_newest_first(database: Database, limit: int) -> None:
    keep(database, *(stopped(n, provider="alpha" if n % 5 else "beta") for n in range(1, 20)))
    with database.reading() as tx:
        found = ids(tx, SessionFilter(), limit)
        assert found == ids(tx, SessionFilter(), 100)
        assert sorted(found) == [session_id(n) for n in range(1, 20)]
        created = [tx.sessions.get(one).created_at for one in found]  # type: ignore[union-attr]
        assert created == sorted(created, reverse=True)
        rare = ids(tx, SessionFilter(provider="beta"), limit, look_at=2)
        assert sorted(rare) == [session_id(n) for n in (5, 10, 15)]
        mixed = ids(
            tx, SessionFilter(provider="beta", states=(State.STOPPED, State.CREATED)), limit, look_at=3
        )
        assert mixed == rare


def test_a_page_looks_no_further_than_its_bound(database: Database) -> None:
    keep(database, *(stopped(n, provider="alpha") for n in range(1, 20)))
    with database.reading() as tx:
        page = tx.pages.sessions(SessionFilter(provider="beta"), 10, look_at=4)
        assert (list(page.sessions), page.behind) == ([], Behind(T0 - SECOND, session_id(4)))


def test_queue_accounts_and_models_are_read_behind_a_row(database: Database) -> None:
    keep(database, *(a_queued(n, created_at=T0 + n * SECOND) for n in range(1, 6)))
    models = [a_model(id=f"m{n}", source=ModelSource.PRIVATE, owner=f"o{n % 2}") for n in range(4)]
    with database.engine.begin() as connection:
        connection.execute(text("DELETE FROM models WHERE id NOT IN (SELECT model_id FROM sessions)"))
    for model in models:
        database.transact(partial(_put, model=model))
    with database.reading() as tx:
        first, behind = tx.pages.queue(2)
        second, last = tx.pages.queue(10, behind)
        assert [one.id for one in (*first, *second)] == [session_id(n) for n in range(1, 6)]
        assert last is None
        assert tx.pages.queue(10, account_id="other") == ([], None)
        assert [one.id for one in tx.pages.accounts(10)][:1] == ["acme"]
        assert "acme" not in [one.id for one in tx.pages.accounts(10, "acme")]
        mine = [one.id for one in tx.pages.models(10, owner="o1")]
        assert [one for one in mine if one.startswith("m")] == ["m1", "m3"]


@pytest.fixture(scope="module")
def many(postgres: Postgres) -> Iterator[Database]:
    """Return a PostgreSQL database with 100,000 ended sessions, and one close that is not proven."""
    with postgres.fresh_database() as url:
        database = Database(url, clock=lambda: T0)
        stock(database)
        keep(database, stopped(1, provider="alpha"))
        with database.engine.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))  # no triggers
            connection.execute(text(_COPIES), {"many": MANY})
        closing = replace(a_created(MANY + 1), state=State.STOPPING, stop_reason=None)
        keep(database, closing)
        placement = a_closing(MANY + 1, unproven_since=T0)
        database.transact(lambda tx: tx.placements.insert(placement))
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        yield database
        database.dispose()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS.keys())
def test_each_list_uses_an_index_and_is_quick_beside_many(many: Database, wanted: SessionFilter) -> None:
    with many.reading() as tx, statements(many) as seen:
        first = tx.pages.sessions(wanted, 50)
        deep = Behind(T0 - timedelta(hours=5), "session-x")
        tx.pages.sessions(wanted, 50, deep)
    nothing = {wanted.provider, wanted.model_id, wanted.begins} & {"beta", "none", "nothing"}
    assert first.sessions or nothing
    with many.engine.connect() as connection:
        for statement, parameters in seen:
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
            assert "Seq Scan on sessions" not in plan, plan
    assert seconds(many, lambda tx: tx.pages.sessions(wanted, 50)) < QUICK


def test_a_session_is_found_by_the_beginning_of_its_id_beside_many(many: Database) -> None:
    with many.reading() as tx, statements(many) as seen:
        assert tx.pages.ids_beginning("many-9999", 20) == [f"many-{n}" for n in (9999, *range(99990, 100000))]
        assert tx.pages.ids_beginning("many-9999", 20, "other") == []
    [(statement, parameters), _] = seen
    with many.engine.connect() as connection:
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
    assert "Seq Scan on sessions" not in plan, plan
    assert "pk_sessions" in plan, plan


def test_what_a_person_begins_to_type_is_found_by_the_index_of_ids_beside_many(many: Database) -> None:
    with many.reading() as tx, statements(many) as seen:
        found = [one.id for one in tx.lookups.beginning(RowKind.SESSION, "many-9999", 20)]
    assert found == [f"many-{n}" for n in (9999, *range(99990, 100000))]
    [(statement, parameters)] = seen
    with many.engine.connect() as connection:
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
    assert "Seq Scan on sessions" not in plan, plan
    assert "pk_sessions" in plan, plan


@pytest.mark.parametrize("begins", ["name-9999", "many-9999", "n", ""])
def test_a_shell_completes_names_by_their_index_beside_many(many: Database, begins: str) -> None:
    with many.reading() as tx, statements(many) as seen:
        found = tx.lookups.completing(RowKind.SESSION, begins, 20)
        tx.lookups.named(RowKind.SESSION, "many-7", 2)
    assert all(one.id.startswith(begins) or one.name.startswith(begins) for one in found)
    assert found
    *completed, named = [plan_of(many, *each) for each in seen]
    if len(begins) > 1:
        assert not any("Seq Scan on sessions" in plan for plan in completed), completed
        assert "ix_sessions_name" in completed[1], completed
    assert "Seq Scan on sessions" not in named, named
    began = time.monotonic()
    with many.reading() as tx:
        tx.lookups.completing(RowKind.SESSION, begins, 20)
    assert time.monotonic() - began < 0.3


def plan_of(database: Database, statement: str, parameters: Any) -> str:
    with database.engine.connect() as connection:
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())


@pytest.mark.parametrize("begins", ["AB-", "ab-", "a%", "a_", "a", "zz"])
def test_a_beginning_is_compared_letter_by_letter(database: Database, begins: str) -> None:
    known = ["AB-1", "ab-1", "ab-2", "ab.z", "abz", "a%b", "a_b", "zz", "zzz"]
    keep(database, *(stopped(n, id=one, name=f"n{n}") for n, one in enumerate(known, 1)))
    wanted = {one for one in known if one.startswith(begins)}
    with database.reading() as tx:
        assert set(tx.pages.ids_beginning(begins, 20)) == wanted
        assert {one.id for one in tx.lookups.beginning(RowKind.SESSION, begins, 20)} == wanted
        assert set(ids(tx, SessionFilter(begins=begins), 20)) == wanted
        assert len(ids(tx, SessionFilter(begins="n"), 20)) == len(known)


def test_the_queue_uses_an_index_beside_many(many: Database) -> None:
    with many.reading() as tx, statements(many) as seen:
        tx.pages.queue(50, Behind(T0, "x"))
        tx.pages.accounts(50, "x")
    with many.engine.connect() as connection:
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {seen[0][0]}", seen[0][1]).scalars())
    assert "Seq Scan" not in plan


CONFIG = Configuration()


def _costs(tx: Transaction, *, by: CostsBy, account_id: str | None = None) -> object:
    return costs(tx, T0, by, (T0 - timedelta(days=90)).date(), account_id, 50, MOST_ON_A_PAGE)


def _acme(tx: Transaction) -> Account:
    account = tx.accounts.get("acme")
    assert account is not None
    return replace(account, budgets=(Budget(period=BudgetPeriod.MONTH, amount=Decimal(100)),))


#: What pages of the API and the console read besides lists of sessions.
REPORTS: Mapping[str, Callable[[Transaction], object]] = {
    "the overview": lambda tx: overview(tx, T0),
    "a provider's last hour": lambda tx: last_hour(tx, T0, "alpha"),
    "the last hour": lambda tx: last_hour(tx, T0),
    "unproven closes": lambda tx: leftovers.listed(tx, T0, limit=1_000),
    "unproven closes of an account": lambda tx: leftovers.listed(tx, T0, account_id="acme", limit=1_000),
    "orphans": lambda tx: leftovers.orphans(tx, T0),
    "keys in use": lambda tx: tx.credentials.in_use(),
    "the queue": lambda tx: installation_reports.queue(tx, tx.pages.queue(50)[0], T0),
    "alarms": installation_reports.alarms,
    "the audit": installation_reports.audit,
    "a page of sessions as JSON": lambda tx: views.of_sessions(tx, _first_page(tx), T0),
    "events of a session": lambda tx: tx.outbox.tail(subject="many-7", limit=50),
    "the newest events of a session": lambda tx: tx.outbox.newest(subject="many-7", limit=200),
    "events": lambda tx: tx.outbox.tail(after=0, limit=500),
    "a ledger": lambda tx: tx.ledger.lines("acme", 50),
    "a job": lambda tx: tx.inbox.known("order-1"),
    **{f"costs by {by}": partial(_costs, by=by) for by in CostsBy},
    **{f"an account's costs by {by}": partial(_costs, by=by, account_id="acme") for by in CostsBy},
    "budgets": lambda tx: read_budgets(tx, _acme(tx), T0),
    "an account with its quota": lambda tx: account_view.with_quota(tx, CONFIG, _acme(tx), T0),
    "a forecast": lambda tx: account_view.forecast(tx, CONFIG, _acme(tx), T0),
    "webhooks": lambda tx: [tx.webhooks.backlog(one.name) for one in tx.webhooks.listed()],
    "a plan that closes many": lambda tx: planned(tx, CloseMany(account_id="acme")),
}


def _first_page(tx: Transaction) -> Sequence[Session]:
    return tx.pages.sessions(SessionFilter(), 50).sessions


@pytest.mark.timeout(600)
@pytest.mark.parametrize("read", REPORTS.values(), ids=REPORTS.keys())
def test_each_page_uses_indexes_and_is_quick_beside_many(
    many: Database, read: Callable[[Transaction], object]
) -> None:
    with many.reading() as tx, statements(many) as seen:
        read(tx)
    with many.engine.connect() as connection:
        connection.execute(text("SET enable_seqscan = off"))  # else small tables are read whole
        for statement, parameters in seen:
            plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
            assert (
                re.search(r"Seq Scan on (sessions|placements|outbox|inbox|ledger|minutes)", plan) is None
            ), plan
        connection.rollback()
    assert seconds(many, read) < QUICK


def test_sqlite_uses_an_index_for_each_list(on_sqlite: Database) -> None:
    keep(on_sqlite, *(stopped(n) for n in range(1, 50)))
    with on_sqlite.reading() as tx, statements(on_sqlite) as seen:
        for wanted in FILTERS.values():
            Pages(tx.connection).sessions(wanted, 5, Behind(T0, "x"), look_at=10)
        tx.pages.queue(5)
        tx.pages.ids_beginning("session", 2)
        tx.lookups.completing(RowKind.SESSION, "session", 2)
        tx.lookups.named(RowKind.SESSION, "session", 2)
    with on_sqlite.engine.connect() as connection:
        for statement, parameters in seen:
            plan = [
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            ]
            scans = [step for step in plan if step.startswith("SCAN sessions")]
            assert scans == [], plan


def test_placements_of_several_sessions_are_one_statement(database: Database) -> None:
    keep(database, a_created(1), a_created(2), a_placement(1), a_placement(2))
    with database.reading() as tx, statements(database) as seen:
        found = tx.placements.of_sessions([session_id(1), session_id(2), session_id(3)])
    assert {one: [p.id for p in placements] for one, placements in found.items()} == {
        session_id(1): ["placement-00001"],
        session_id(2): ["placement-00002"],
    }
    assert len(seen) == 1


def test_an_account_of_no_sessions_has_an_empty_page(database: Database) -> None:
    database.transact(lambda tx: tx.accounts.insert(an_account("other")))
    with database.reading() as tx:
        assert tx.pages.sessions(SessionFilter(account_id="other"), 10).sessions == []
