"""The clock of the store's host jumps: the jump decides nothing, and work continues in time."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Event

import pytest
from sqlalchemy import text

from orchestrator.flows.audit.audit_store import audit_everything
from orchestrator.flows.engine.crowd import Crowd
from orchestrator.flows.operations.accept_clock import accept_clock
from orchestrator.flows.operations.watch_clock import watch_clock
from orchestrator.flows.reports.measure import measure
from orchestrator.rules.audit.invariants import Invariant
from orchestrator.rules.installation import clock
from orchestrator.rules.installation.clock import KnownTime
from orchestrator.rules.installation.correction import PAST_OF_ACCOUNT, PAST_OF_PLACEMENT, PAST_OF_SESSION
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Policy
from orchestrator.store.queries.audit import ACCOUNTS, PLACEMENTS, SESSIONS
from tests.flows.conftest import MakeWorld
from tests.store.stage import meanwhile
from tests.waiting import WAIT_LIMIT
from tests.world import HOUR, MINUTE, SECOND, START, World

pytestmark = pytest.mark.slow

NEAR = 5 * SECOND
jumps = pytest.mark.parametrize("jump", [HOUR, -HOUR, 2 * HOUR, -2 * HOUR], ids=str)
either_way = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=str)
#: Few pings, so that hours pass quickly.
CALM = Policy(ping_interval_seconds=120)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Return a world in which workers compare the store's clock with what they measure."""
    return make_world(checks_time=True, policy=CALM)


def known(world: World) -> KnownTime:
    """Return what all processes know of the clock."""
    with world.services.database.reading() as tx:
        found = tx.clock.known()
    assert found is not None
    return found


def off(at: datetime | None, wanted: datetime) -> timedelta:
    """Return the difference of the two clocks."""
    assert at is not None
    return abs(at - wanted)


def jumps_for(world: World, jump: timedelta, span: timedelta) -> None:
    """Set the clock off for this long; work continues meanwhile."""
    world.clock.store_is_ahead = jump
    world.settle()
    watch_clock(world.services)
    world.pass_time(span)
    assert known(world).jumped_at is not None
    assert abs(measure(world.services.database, ()).clock_ahead - jump.total_seconds()) <= 1
    world.clock.store_is_ahead = timedelta(0)
    world.pass_time(2 * SECOND)
    watch_clock(world.services)
    assert known(world).jumped_at is None


@jumps
@pytest.mark.parametrize("span", [25 * SECOND, HOUR], ids=str)
def test_sessions_run_on_are_pinged_and_stop_at_their_own_instants(
    world: World, jump: timedelta, span: timedelta
) -> None:
    short = world.run_session(stop={"max_duration_seconds": 1800})
    long = world.run_session(stop={"max_duration_seconds": 2 * 3600})
    world.pass_time(2 * MINUTE)
    pings = world.calls("chat", "alpha")

    jumps_for(world, jump, span)
    assert world.session(long).state is State.RUNNING
    assert off(world.session(long).last_ping_at, world.clock.now) <= 3 * MINUTE
    assert world.calls("chat", "alpha") >= pings
    world.pass_time(START + 2 * HOUR + MINUTE - world.clock.now)

    for session_id, duration in ((short, 30 * MINUTE), (long, 2 * HOUR)):
        session = world.session(session_id)
        assert session.stop_reason is StopReason.MAX_DURATION
        assert off(session.stopped_at, (START + duration)) <= NEAR
        assert off(session.ended_at, (START + duration)) <= NEAR
        assert world.ledger_of(session_id) == Decimal("0.02") * (duration // MINUTE)


@either_way
def test_a_session_that_starts_has_its_time_to_start(world: World, jump: timedelta) -> None:
    world.server.fault("loading", operation="chat", upstream="alpha")
    session_id = world.create_session()
    world.settle()
    jumps_for(world, jump, 30 * SECOND)

    assert world.session(session_id).state is State.STARTING
    world.server.clear_faults()
    world.pass_time(MINUTE)
    assert world.session(session_id).state is State.RUNNING


@either_way
def test_a_session_in_doubt_is_not_dead_before_its_time(world: World, jump: timedelta) -> None:
    world.run_session()
    session_id = world.run_session()
    world.server.fault("dead", operation="chat", upstream="alpha", times=2)
    world.pass_time(32 * SECOND)
    jumps_for(world, jump, 20 * SECOND)
    world.pass_time(5 * MINUTE)

    assert world.session(session_id).state is State.RUNNING
    assert world.session(session_id).failures == 0


@either_way
def test_interactions_during_a_jump_count_when_they_happened(world: World, jump: timedelta) -> None:
    session_id = world.run_session(stop={"idle_seconds": 300})
    world.pass_time(4 * MINUTE)
    world.clock.store_is_ahead = jump
    world.settle()
    used_at = world.clock.now
    world.done("session.record_interactions", batch=[{"session_id": session_id, "count": 1}])
    jumps_for(world, jump, MINUTE)

    assert off(world.session(session_id).last_interaction_at, used_at) <= NEAR
    world.pass_time(10 * MINUTE)
    assert off(world.session(session_id).stopped_at, (used_at + 5 * MINUTE)) <= NEAR


@either_way
def test_funds_end_when_they_are_used_up(world: World, jump: timedelta) -> None:
    world.done("account.put", account_id="poor", plan="payg", currency="USD")
    world.done("account.credit", account_id="poor", amount="0.30", currency="USD", key="first")
    session_id = world.run_session(account_id="poor")
    world.pass_time(2 * MINUTE)
    jumps_for(world, jump, 25 * SECOND)
    assert world.session(session_id).state is State.RUNNING
    world.pass_time(HOUR)

    session = world.session(session_id)
    assert session.stop_reason is StopReason.BALANCE_EXHAUSTED
    assert off(session.stopped_at, (START + 15 * MINUTE)) <= NEAR
    assert world.balance("poor") == 0


@either_way
def test_a_close_is_tried_again_and_again(world: World, jump: timedelta) -> None:
    session_id = world.run_session("moral")
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    world.settle()
    tried = world.calls("close")
    world.clock.store_is_ahead = jump
    world.pass_time(5 * MINUTE)
    assert world.calls("close") > tried

    world.server.clear_faults()
    jumps_for(world, jump, 15 * MINUTE)
    assert world.session(session_id).state is State.STOPPED


@either_way
def test_a_worker_that_starts_during_a_jump_does_no_harm(world: World, jump: timedelta) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 1800})
    world.pass_time(2 * MINUTE)
    world.clock.store_is_ahead = jump
    world.settle()
    for boot in ("boot-1", "boot-2"):
        newcomer = world.another_worker(boot)
        world.settle(newcomer)
        assert world.session(session_id).state is State.RUNNING
    jumps_for(world, jump, MINUTE)
    world.pass_time(HOUR)

    assert off(world.session(session_id).stopped_at, (START + 30 * MINUTE)) <= NEAR


@either_way
def test_a_jump_is_alarmed_once_and_so_is_its_end(world: World, jump: timedelta) -> None:
    jumps_for(world, jump, 10 * MINUTE)
    assert world.events("installation") == ["clock_jumped"]
    world.pass_time(MINUTE)
    watch_clock(world.services)
    watch_clock(world.services)

    assert measure(world.services.database, ()).clock_ahead == 0
    assert world.events("installation") == ["clock_jumped", "recovered"]
    assert known(world).seen_by == "host of boot-1"


@either_way
def test_a_host_with_another_clock_is_one_alarm_until_its_clock_has_agreed_for_a_minute(
    world: World, jump: timedelta
) -> None:
    """On SQLite each worker reads its own host's clock: one sees the jump, the other ends it."""
    elsewhere = world.another_worker()
    for _ in range(60):
        for services, off in ((elsewhere, jump), (world.services, timedelta(0))):
            world.clock.now += 2 * SECOND
            world.clock.store_is_ahead = off
            services.database.prove_writes()
            assert (known(world).jumped_at is not None) is bool(off)
            watch_clock(services)
    assert world.events("installation") == ["clock_jumped"]

    for seconds, events in ((50, ["clock_jumped"]), (10, ["clock_jumped", "recovered"])):
        world.clock.now += seconds * SECOND
        world.services.database.prove_writes()
        watch_clock(world.services)
        assert world.events("installation") == events


def test_what_an_operator_accepts_has_passed(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 1800})
    world.pass_time(2 * MINUTE)
    world.clock.store_is_ahead = HOUR
    world.settle()
    watch_clock(world.services)
    accepted = accept_clock(world.services.database)
    assert accepted is not None
    assert world.events("installation") == ["clock_jumped", "recovered"]
    accepted = accept_clock(world.services.database)
    assert accepted is None

    world.clock.now += 2 * SECOND
    world.settle()
    session = world.session(session_id)
    assert (session.stop_reason, session.stopped_at) == (StopReason.MAX_DURATION, START + 30 * MINUTE)
    assert world.ledger_of(session_id) == Decimal("0.60")


@pytest.fixture
def misled(make_world: MakeWorld) -> tuple[World, list[str]]:
    """Stop all workers, and set the clock ahead by an hour: workers that start then on other machines cannot see it.
    Each test sets it right, and an operator accepts that."""
    world = make_world(checks_time=True, policy=CALM)
    kept = world.run_session(stop={"max_duration_seconds": 8 * 3600})
    ended = world.run_session("moral", stop={"max_duration_seconds": 1800})
    world.pass_time(5 * MINUTE)
    world.clock.store_is_ahead = HOUR
    world.services = world.another_worker("boot-2")
    world.settle()
    begun = world.run_session("pair", account_id=_another(world), stop={"max_duration_seconds": 3600})
    world.clock.now += 2 * MINUTE
    world.settle()
    assert world.session(ended).stop_reason is StopReason.MAX_DURATION
    assert world.ledger_of(kept) > Decimal("1.00")
    return world, [kept, ended, begun]


def _another(world: World) -> str:
    world.done("account.put", account_id="other", plan="contract", currency="USD")
    world.done("account.credit", account_id="other", amount="10", currency="USD", key="first")
    return "other"


def test_what_was_charged_for_time_that_did_not_pass_is_reversed(misled: tuple[World, list[str]]) -> None:
    world, (kept, ended, begun) = misled
    world.clock.store_is_ahead = timedelta(0)
    world.settle()
    accepted = accept_clock(world.services.database)
    assert accepted is not None
    world.clock.now += 2 * SECOND
    watch_clock(world.services)
    world.settle()

    now = world.clock.now
    assert world.session(kept).state is world.session(begun).state is State.RUNNING
    assert world.ledger_of(kept) == Decimal("0.16")  # 7 minutes and 2 seconds, by blocks that have begun
    assert world.ledger_of(begun) <= Decimal("0.06")
    assert world.ledger_of(ended) <= Decimal("0.12")
    assert off(world.session(begun).running_since, (now - 2 * MINUTE)) <= NEAR
    assert off(world.session(begun).stop_at, (now + 58 * MINUTE)) <= NEAR
    reversed_ = {entry.session_id for entry in world.ledger(kind="reversal")}
    assert reversed_ == {kept, ended}
    assert nothing_lies_ahead(world)
    assert not _wrong(world)


def _wrong(world: World) -> list[str]:
    """Return the audit's findings, except those of a missing scheduler and reader of events."""
    found = audit_everything(world.services).found
    return [
        f"{one.check}: {one.subject}: {one.detail}"
        for one in found
        if one.check not in {Invariant.SCHEDULER, Invariant.OUTBOX}
    ]


def test_a_correction_may_be_carried_out_twice(misled: tuple[World, list[str]]) -> None:
    world, _ = misled
    world.clock.store_is_ahead = timedelta(0)
    world.settle()
    accept_clock(world.services.database)
    world.clock.now += 2 * SECOND
    watch_clock(world.services)
    world.settle()
    before = world.ledger(), world.balance()
    for _ in range(3):
        watch_clock(world.services)
    assert (world.ledger(), world.balance()) == before


def test_an_account_for_which_jobs_stand_in_line_is_corrected_as_a_whole_by_a_later_pass(
    misled: tuple[World, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    """The account has no unreadable row."""
    world, (kept, _, _) = misled
    world.clock.store_is_ahead = timedelta(0)
    world.settle()
    accept_clock(world.services.database)
    world.clock.now += 2 * SECOND
    before = world.session(kept)
    stands, leave = Event(), Event()
    busy = replace(world.services, crowd=Crowd(1, 6, (16, 18)))

    def stand() -> None:
        with busy.crowd.turn("acme"):
            stands.set()
            assert leave.wait(WAIT_LIMIT)

    with meanwhile(stand):
        assert stands.wait(WAIT_LIMIT)
        watch_clock(busy)
        leave.set()
    assert "cannot be applied" not in caplog.text
    assert world.session(kept) == before
    watch_clock(busy)
    assert nothing_lies_ahead(world)


def test_after_a_correction_pings_go_on_at_once(misled: tuple[World, list[str]]) -> None:
    world, (kept, _, begun) = misled
    world.clock.store_is_ahead = timedelta(0)
    world.settle()
    accept_clock(world.services.database)
    world.clock.now += 2 * SECOND
    watch_clock(world.services)
    pings = world.calls("chat", "alpha")
    world.pass_time(4 * MINUTE)

    assert world.calls("chat", "alpha") > pings
    for session_id in (kept, begun):
        assert off(world.session(session_id).last_ping_at, world.clock.now) <= 3 * MINUTE


@pytest.mark.parametrize("later", [0 * SECOND, MINUTE, 30 * MINUTE], ids=str)
def test_a_correction_waits_for_the_next_worker_however_late_it_comes(
    misled: tuple[World, list[str]], later: timedelta
) -> None:
    world, (kept, ended, begun) = misled
    world.clock.store_is_ahead = timedelta(0)
    accepted = accept_clock(world.another_worker("boot-2").database)
    assert accepted is not None
    world.clock.now += later  # no worker runs
    world.services = world.another_worker("boot-2")
    world.settle()
    watch_clock(world.services)
    assert nothing_lies_ahead(world)
    assert world.ledger_of(kept) == Decimal("0.02") * ((7 * MINUTE + later) // MINUTE + 1)
    assert {entry.session_id for entry in world.ledger(kind="reversal")} == {kept, ended}

    pings = world.calls("chat", "alpha")
    world.pass_time(5 * MINUTE)
    assert world.calls("chat", "alpha") > pings
    assert off(world.session(begun).last_ping_at, world.clock.now) <= 3 * MINUTE
    assert off(world.session(begun).stop_at, world.clock.now + 53 * MINUTE - later) <= NEAR
    watch_clock(world.services)
    assert known(world).correct_at is None
    assert not _wrong(world)


def test_a_correction_is_done_with_the_first_whole_pass_that_begins_when_all_have_heard_of_it(
    misled: tuple[World, list[str]],
) -> None:
    world, _ = misled
    world.clock.store_is_ahead = timedelta(0)
    world.settle()
    accept_clock(world.services.database)
    for seconds, done in ((2, False), (17, False), (1, True)):
        world.clock.now += seconds * SECOND
        watch_clock(world.services)
        assert (known(world).correct_at is None) is done
    assert watch_clock(world.services) == 0


def test_a_process_that_leaves_in_the_middle_of_a_correction_has_not_done_it(
    misled: tuple[World, list[str]],
) -> None:
    world, (kept, *_) = misled
    world.clock.store_is_ahead = timedelta(0)
    accept_clock(world.another_worker("boot-2").database)
    world.clock.now += MINUTE
    leaving = world.another_worker("boot-2")
    leaving.slots.close()
    watch_clock(leaving)
    assert known(world).correct_at is not None
    world.services = world.another_worker("boot-2")
    world.clock.now += 6 * MINUTE
    watch_clock(world.services)
    assert nothing_lies_ahead(world)
    assert world.session(kept).charged == Decimal("0.02") * 15
    assert known(world).correct_at is None


def test_what_was_reported_and_what_ended_meanwhile_is_corrected(misled: tuple[World, list[str]]) -> None:
    world, (kept, _, begun) = misled
    used_at = world.clock.now + HOUR
    began = used_at.isoformat().replace("+00:00", "Z")
    world.done("session.record_interactions", batch=[{"session_id": kept, "count": 1, "began": began}])
    idle, old = world.create_session(start=False), world.create_session(start=False)
    world.done("session.delete", session_id=old)
    world.done("session.close", session_id=begun)
    world.settle()
    world.clock.store_is_ahead = timedelta(0)
    accept_clock(world.services.database)
    world.clock.now += 2 * SECOND
    watch_clock(world.services)

    assert world.session(kept).under_way == (used_at - HOUR,)
    assert world.session(idle).created_at <= world.clock.now
    assert nothing_lies_ahead(world)


#: What cannot be read, and how it became so.
UNREADABLE = {
    "a session": "UPDATE sessions SET attach = '[7]' WHERE id = :id",
    "a session that is due": "UPDATE sessions SET attach = '[7]', stop_at = created_at WHERE id = :id",
    "its placement": "UPDATE placements SET attach = '[7]' WHERE session_id = :id",
    "its account": "UPDATE accounts SET quota = '[7]' WHERE id = 'acme' AND :id <> ''",
}


@pytest.mark.parametrize("statement", UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_that_cannot_be_read_keeps_no_other_uncorrected(
    misled: tuple[World, list[str]], statement: str
) -> None:
    world, (kept, ended, begun) = misled
    world.done("account.put", account_id="acme", plan="contract", currency="USD")
    bad, good = world.run_session(), world.run_session()
    ran_since = world.session(good).running_since
    assert ran_since is not None
    _write(world, statement, bad)
    world.clock.store_is_ahead = timedelta(0)
    accept_clock(world.another_worker("boot-2").database)
    world.services = world.another_worker("boot-2")
    world.clock.now += MINUTE
    watch_clock(world.services)

    for session_id in (kept, begun, good):
        session = world.session(session_id)
        happened = (session.running_since, session.last_ping_at, session.created_at)
        assert all(at is not None and at <= world.clock.now for at in happened)
        assert session.stop_at is None or session.stop_at <= world.clock.now + 24 * HOUR
    assert off(world.session(good).running_since, ran_since - HOUR) <= NEAR
    if "accounts" not in statement:
        assert off(world.session(ended).ended_at, world.clock.now) <= 4 * MINUTE
        assert world.ledger_of(kept) <= Decimal("0.18")
        assert world.account("acme").balance == Decimal(100) - sum(map(world.ledger_of, _charged(world)))
    assert known(world).correct_at is not None, "it is tried again"

    _write(world, statement.replace("'[7]'", "NULL").replace(", stop_at = created_at", ""), bad)
    world.clock.now += clock.CORRECT_AGAIN
    watch_clock(world.services)
    assert known(world).correct_at is None
    assert nothing_lies_ahead(world)
    assert world.ledger_of(kept) <= Decimal("0.28")
    assert world.ledger_of(ended) <= Decimal("0.12")


def _charged(world: World) -> set[str]:
    return {entry.session_id for entry in world.ledger() if entry.session_id is not None}


def _write(world: World, statement: str, session_id: str) -> None:
    with world.services.database.engine.begin() as connection:
        assert connection.execute(text(statement), {"id": session_id}).rowcount == 1


def nothing_lies_ahead(world: World) -> bool:
    """Return whether no row has a time later than now."""
    happened = (
        (SESSIONS, (*PAST_OF_SESSION, "stopped_at", "ended_at", "leased_at")),
        (PLACEMENTS, PAST_OF_PLACEMENT),
        (ACCOUNTS, PAST_OF_ACCOUNT),
    )
    with world.services.database.reading() as tx:
        rows = {table.name: tx.connection.execute(table.select()).all() for table, _ in happened}
    found = [
        (table.name, row.id, name)
        for table, names in happened
        for row in rows[table.name]
        for name in names
        if (at := getattr(row, name)) and (max(at) if isinstance(at, tuple) else at) > world.clock.now
    ]
    return not found
