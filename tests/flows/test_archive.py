"""Sessions that ended long ago leave the live tables; every sum, quota and answer stays as it was."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from sqlalchemy import func, select

from orchestrator.flows.audit.audit_store import audit_everything, audit_store
from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.archive_sessions import archive_sessions
from orchestrator.flows.operations.deliver_events import deliver_events
from orchestrator.flows.reports.account_view import with_quota
from orchestrator.flows.reports.views import SESSION_KEYS
from orchestrator.rules.audit.invariants import Violation
from orchestrator.rules.installation.retention import SessionRetention
from orchestrator.rules.values import Plan
from orchestrator.store.database import Database
from orchestrator.store.queries.archive import ARCHIVED, ARCHIVED_LEDGER
from orchestrator.store.queries.audit import LEDGER, PLACEMENTS, SESSIONS
from orchestrator.store.transaction import Transaction
from tests.flows.conftest import MakeWorld
from tests.world import MINUTE, World

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
MODES = pytest.mark.parametrize("sessions", [SessionRetention.ARCHIVE, SessionRetention.DELETE])


def retaining(world: World, sessions: SessionRetention, days: float = 40) -> Services:
    """Return the world's worker, with this `[retention]`."""
    wanted = {"sessions": sessions, "sessions_kept_days": days}
    retention = world.services.config.retention.model_copy(update=wanted)
    return replace(world.services, config=replace(world.services.config, retention=retention))


def archive(world: World, sessions: SessionRetention = SessionRetention.ARCHIVE, days: float = 40) -> int:
    """Archive; return how many sessions left."""
    return archive_sessions(retaining(world, sessions, days), rest=no_rest)


def no_rest(_seconds: float) -> None:
    """Let batches follow each other at once."""


def balances(world: World) -> list[tuple[str, Decimal | None]]:
    """Return (kind, balance after it) of the account's entries, newest first."""
    with world.services.database.reading() as tx:
        return [(line.kind, balance) for line, balance in tx.ledger.lines("acme", 100)]


def findings(world: World) -> Sequence[Violation]:
    """Return the findings of a full audit."""
    deliver_events(world.services, [])
    return audit_everything(world.services).found


def ended(world: World, **kwargs: Any) -> str:
    """Return the id of a session that has run for ten minutes."""
    session_id = world.run_session(stop={"max_duration_seconds": 600}, **kwargs)
    world.jump(11 * MINUTE)
    world.settle()
    assert world.session(session_id).state == "stopped"
    return session_id


def rows(world: World) -> dict[str, int]:
    """Return how many rows each table of sessions and money has."""
    tables = (SESSIONS, PLACEMENTS, LEDGER, ARCHIVED, ARCHIVED_LEDGER)
    with world.services.database.reading() as tx:
        return {
            table.name: tx.connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables
        }


def numbers(world: World) -> dict[str, Any]:
    """Return an account's numbers of money and quota."""
    with world.services.database.reading() as tx:
        account = tx.accounts.get("acme")
        assert account is not None
        shown = with_quota(tx, world.services.config, account, world.clock.now)
        posted = tx.ledger.balance("acme")
        counted = sorted(tx.sessions.count_by_state())
    quota = {name: (row["used"], row.get("allowed")) for name, row in shown["quota"].items()}
    money = {name: shown[name] for name in ("balance", "not_yet_charged", "funds_end_at")}
    return {"quota": quota, "posted": posted, "counted": counted, **money}


@MODES
def test_what_ended_long_ago_leaves_and_nothing_else_changes(
    any_world: MakeWorld, sessions: SessionRetention
) -> None:
    world = any_world()
    old = [ended(world) for _ in range(3)]
    world.jump(41 * DAY)
    young, created = ended(world), world.create_session(start=False)
    deliver_events(world.services, [])
    before = numbers(world)

    archived = archive(world, sessions)
    assert archived == 3
    assert numbers(world) == before
    with world.services.database.reading() as tx:
        assert [tx.sessions.get(one) is None for one in (*old, young, created)] == [True] * 3 + [False] * 2
        assert all(tx.archive.get(one) for one in old)
    kept = rows(world)
    assert (kept["sessions"], kept["placements"], kept["archived_sessions"]) == (2, 1, 3)
    assert [entry.kind for entry in world.ledger()] == ["credit", "opening", "charge"]
    assert kept["archived_ledger"] == (3 if sessions is SessionRetention.ARCHIVE else 0)
    archived = archive(world, sessions)
    assert archived == 0
    assert findings(world) == []


def test_nothing_leaves_without_a_choice(any_world: MakeWorld) -> None:
    world = any_world()
    ended(world)
    world.jump(4000 * DAY)
    archived = archive_sessions(world.services)
    assert archived == 0


@MODES
def test_a_second_time_adds_to_the_same_opening_entry(
    any_world: MakeWorld, sessions: SessionRetention
) -> None:
    world = any_world()
    for _ in range(3):
        ended(world)
        world.jump(20 * DAY)
    before = numbers(world)
    archived = archive(world, sessions)
    assert archived == 2
    world.jump(21 * DAY)
    archived = archive(world, sessions)
    assert archived == 1
    assert numbers(world) == before
    [opening] = world.ledger(kind="opening")
    assert (opening.amount, opening.debit, opening.credit) == (Decimal("0.6"), "account:acme", "revenue")
    assert findings(world) == []


def test_the_ledger_shows_every_balance_that_it_still_knows(any_world: MakeWorld) -> None:
    world = any_world()
    ended(world)
    world.done("account.credit", account_id="acme", amount="1", currency="USD", key="later")
    ended(world)
    world.jump(41 * DAY)
    ended(world)
    lines = balances(world)
    archived = archive(world)
    assert archived == 2
    assert balances(world) == [lines[0], ("opening", lines[1][1]), ("credit", None), ("credit", None)]


@MODES
def test_each_number_stays_where_an_archived_session_is_deleted_later(
    any_world: MakeWorld, sessions: SessionRetention
) -> None:
    world = any_world()
    session_id = ended(world, name="mine")
    world.jump(41 * DAY)
    archive(world, sessions)
    assert world.refused("session.create", account_id="acme", model_id="llama", name="mine") == "name_taken"
    used = numbers(world)["quota"]["sessions"]
    result = world.done("session.delete", session_id=session_id)
    assert result["deleted_at"] is not None
    assert world.events(session_id)[-1] == "deleted"
    assert numbers(world)["quota"]["sessions"][0] == used[0] - 1
    assert world.refused("session.delete", session_id=session_id) == "unknown_session"
    world.create_session(name="mine")
    assert findings(world) == []


@MODES
def test_what_names_an_archived_session_is_answered(any_world: MakeWorld, sessions: SessionRetention) -> None:
    world = any_world()
    wanted = {"account_id": "acme", "model_id": "llama", "session_id": "0d9c1e6e-5a53-4a54-9d7c-3f52f3a4f0b1"}
    session_id = world.done("session.create", **wanted)["id"]
    world.settle()
    world.done("session.close", session_id=session_id)
    world.settle()
    before = world.view(session_id)
    world.jump(41 * DAY)
    archive(world, sessions)

    known = world.done("session.create", **wanted)
    assert known["archived_at"] is not None
    assert {name for name in before if known[name] != before[name]} <= (
        {"archived_at"} if sessions is SessionRetention.ARCHIVE else set(before) - {"id", "state", "cost"}
    )
    assert known.keys() == before.keys() == set(SESSION_KEYS)
    assert world.refused("session.create", **wanted, nodes=2) == "conflict"
    result = world.done("session.close", session_id=session_id)
    assert result["found_state"] == "stopped"
    for job in ("start", "ping"):
        assert world.refused(f"session.{job}", session_id=session_id) == "invalid_state"
    batch = [{"session_id": session_id, "count": 1}]
    [rejected] = world.done("session.record_interactions", batch=batch)["rejected"]
    assert rejected["code"] == "invalid_state"


def test_the_first_outcome_of_a_job_is_the_same(any_world: MakeWorld) -> None:
    world = any_world()
    job = {"account_id": "acme", "model_id": "llama", "stop": {"max_duration_seconds": 60}}
    first = world.job("session.create", task_id="one", **job)
    world.settle()
    world.jump(41 * DAY)
    world.settle()
    world.jump(41 * DAY)
    archived = archive(world)
    assert archived == 1
    outcome = world.job("session.create", task_id="one", **job)
    assert outcome == first


def test_what_is_not_over_or_not_sound_stays(any_world: MakeWorld) -> None:
    world = any_world()
    over, forced = ended(world), world.run_session("moral")
    world.server.fault("close_fails", operation="close")
    world.done(
        "session.close", session_id=forced, reason="operator", detail="why: gone", by="who: me", force=True
    )
    world.create_session(start=False)
    world.jump(41 * DAY)
    with world.services.database.engine.begin() as connection:
        connection.execute(SESSIONS.update().where(SESSIONS.c.id == over).values(charges=9))
    audit_store(world.services)
    archived = archive(world)
    assert archived == 0, "what the audit has found stays, and what was forced"
    with world.services.database.engine.begin() as connection:
        connection.execute(SESSIONS.update().where(SESSIONS.c.id == over).values(charges=1))
    audit_store(world.services)
    archived = archive(world)
    assert archived == 1


def test_one_that_was_deleted_without_having_begun_leaves_as_well(any_world: MakeWorld) -> None:
    world = any_world()
    world.done("session.delete", session_id=world.create_session(start=False))
    world.jump(41 * DAY)
    archived = archive(world)
    assert archived == 1
    assert findings(world) == []


def test_a_row_that_cannot_be_read_holds_up_no_other(
    any_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = any_world()
    bad, *good = [ended(world) for _ in range(3)]
    world.jump(41 * DAY)
    garble = "UPDATE sessions SET under_way = '[7]' WHERE id = "
    with world.services.database.engine.begin() as connection:
        connection.exec_driver_sql(f"{garble}'{bad}'")
    archived = archive(world)
    assert archived == len(good)
    assert bad in caplog.text
    with world.services.database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE sessions SET under_way = NULL WHERE id = '{bad}'")
    archived = archive(world)
    assert archived == 1


class Killed(BaseException):
    """The process dies here."""


class Dying:
    """A database with a process that dies at its second commit: just before it, or just after."""

    def __init__(self, database: Database, *, after: bool) -> None:
        self._database = database
        self._after = after
        self._commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def transact(self, work: Callable[[Transaction], Any]) -> Any:
        self._commits += 1
        if self._commits < 2:
            return self._database.transact(work)
        if self._after:
            self._database.transact(work)
            raise Killed

        def die(tx: Transaction) -> Any:
            work(tx)
            raise Killed

        return self._database.transact(die)


@MODES
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_process_may_die_at_a_commit(any_world: MakeWorld, sessions: SessionRetention, after: bool) -> None:
    """Every sum holds, and the next run continues."""
    world = any_world()
    for _ in range(4):
        ended(world)
    world.jump(41 * DAY)
    before, worker = numbers(world), retaining(world, sessions)
    dying = replace(worker, database=cast(Database, Dying(worker.database, after=after)))
    with pytest.raises(Killed):
        archive_sessions(dying, rest=no_rest, most_rows=1)
    assert rows(world)["archived_sessions"] == (2 if after else 1)
    assert numbers(world) == before
    assert findings(world) == []
    archived = archive(world, sessions)
    assert archived == (2 if after else 3)
    assert numbers(world) == before
    assert findings(world) == []


def test_two_at_once_take_out_each_session_once(database_url: str) -> None:
    """One finds the account in use, or its sessions gone."""
    with World(database_url, plans={"payg": Plan(name="payg")}) as world:
        for _ in range(6):
            ended(world)
        world.jump(41 * DAY)
        before = numbers(world)
        workers = [retaining(world, SessionRetention.ARCHIVE) for _ in range(3)]
        with ThreadPoolExecutor(3) as threads:
            moved = sum(threads.map(lambda one: archive_sessions(one, rest=no_rest, most_rows=1), workers))
        assert moved == rows(world)["archived_sessions"]
        archived = archive(world)
        assert moved + archived == 6
        assert numbers(world) == before
        assert findings(world) == []
