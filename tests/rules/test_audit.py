"""The audit's findings about one row, and what it accepts."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.audit.check_rows import judge_account, judge_lateness, judge_placement, judge_session
from orchestrator.rules.audit.invariants import (
    MEANING,
    AccountFacts,
    Admission,
    AtRest,
    AuditContext,
    Invariant,
    PlacementFacts,
    SessionFacts,
    StateEvent,
    Thresholds,
    Violation,
    turned,
)
from orchestrator.rules.audit.quota_audit import exceeds_quota
from orchestrator.rules.audit.wait_limits import wait_limits
from orchestrator.rules.billing import money
from orchestrator.rules.billing.groups import grouped
from orchestrator.rules.billing.hard_stops import FundsLimit
from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.rules.values import Account, Budget, BudgetPeriod, Due, Lease, Plan, Policy, Session
from tests.rules.builders import (
    CONTRACT,
    HOUR,
    MINUTE,
    PAYG,
    SECOND,
    T0,
    a_running_session,
    a_session,
    a_starting_session,
)

LEASES = {Step.PING: 90.0, Step.RESOLVE: 540.0, Step.CLOSE: 180.0}
NOW = AuditContext(
    at=T0 + 10 * MINUTE,
    thresholds=Thresholds(),
    longest_lease=10 * MINUTE,
    wait_limits=lambda _provider: wait_limits(Policy(), LEASES, 600),
    events_since=T0 + HOUR,
)


def a_placement(state: PlacementState, **changes: Any) -> PlacementFacts:
    """Return a placement with the fields of its state."""
    plain = PlacementFacts(
        id="p1",
        session_id="s",
        provider="alpha",
        state=state,
        proof="it said so" if state is PlacementState.CLOSED else None,
        due=None if state in {PlacementState.OPEN, PlacementState.CLOSED} else Due(Step.CLOSE, T0),
        lease=None,
    )
    return replace(plain, **changes)


def running(**changes: Any) -> Session:
    """Return a session that runs since T0; ten minutes are charged at NOW, and it stops at the plan's ceiling."""
    charged = {"charged": Decimal(10), "charges": 1, "due": Due(Step.PING, T0)}
    stop = {"stop_at": T0 + timedelta(days=1), "stop_at_reason": StopReason.MAX_DURATION}
    return a_running_session(**(charged | stop | changes))


def idle(kept: int, **changes: Any) -> Session:
    """Return a session that is idle ten minutes from NOW on, with a grace for reports of this many seconds; five
    minutes later its time is over."""
    ends = NOW.at + 10 * MINUTE
    asked = {"idle_seconds": 600, "last_interaction_at": NOW.at}
    stop = {"stop_at": ends + kept * SECOND, "stop_at_reason": StopReason.IDLE, "idle_ends_at": ends}
    longest = int((ends + 5 * MINUTE - T0) / SECOND)
    return running(**asked, max_duration_seconds=longest, **(stop | changes))


def reported(*changes: tuple[str | None, str]) -> list[StateEvent]:
    return [
        StateEvent(seq=n, kind="created" if n == 1 else is_now, previous=was, state=is_now)
        for n, (was, is_now) in enumerate(changes, 1)
    ]


def problems(session: Session, now: AuditContext = NOW, **facts: Any) -> list[Invariant]:
    """Return the checks with findings."""
    known: dict[str, Any] = {"posted": session.charged, "postings": session.charges} | facts
    return [finding.check for finding in judge_session(SessionFacts(session=session, **known), now)]


def test_every_check_says_what_it_means_and_counts_a_subject_once() -> None:
    assert set(MEANING) == set(Invariant)
    assert Violation(Invariant.COST, "s", "one").key == Violation(Invariant.COST, "s", "another").key


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        pytest.param(running(), [], id="a running session with its ping"),
        pytest.param(running(due=None), [Invariant.STEPS], id="a running session without a next step"),
        pytest.param(a_session(), [], id="a created one needs nothing"),
        pytest.param(a_session(due=Due(Step.PING, T0)), [Invariant.STEPS], id="a created one with a step"),
        pytest.param(running(deleted_at=T0), [Invariant.DELETED], id="a running session that is deleted"),
        pytest.param(a_session(deleted_at=T0), [], id="a created one may be deleted"),
        pytest.param(
            running(lease=Lease("t", NOW.at + 10 * MINUTE)),
            [],
            id="a lease as long as the longest",
        ),
        pytest.param(
            running(lease=Lease("t", NOW.at + 10 * MINUTE + SECOND)),
            [Invariant.LEASES],
            id="a lease longer than any",
        ),
        pytest.param(a_session(lease=Lease("t", T0)), [Invariant.LEASES], id="a lease at rest"),
        pytest.param(running(due=Due(Step.PING, NOW.at + 390 * SECOND)), [], id="waiting, under a lease"),
        pytest.param(
            running(due=Due(Step.PING, NOW.at + 391 * SECOND)),
            [Invariant.STEPS],
            id="a ping later than any Retry-After",
        ),
        pytest.param(
            running(stop_at=T0 + timedelta(days=3650)),
            [Invariant.STEPS],
            id="a stop later than its rules say",
        ),
        pytest.param(running(stop_at_reason=StopReason.IDLE), [Invariant.STEPS], id="a stop of another rule"),
        pytest.param(idle(30), [], id="an idle stop in its grace"),
        pytest.param(idle(300), [], id="planned while the grace was longer"),
        pytest.param(idle(0, idle_ends_at=None), [], id="one that an earlier release planned"),
        pytest.param(idle(301), [Invariant.STEPS], id="an idle stop that outlives another rule"),
        pytest.param(idle(30, idle_ends_at=T0), [Invariant.STEPS], id="idle at another time"),
        pytest.param(running(due=Due(Step.STOP, T0 + timedelta(days=1))), [], id="a stop may be far"),
        pytest.param(running(not_well_since=NOW.at - HOUR), [], id="unwell, and within every bound"),
        pytest.param(
            running(not_well_since=NOW.at - 24 * HOUR), [Invariant.ALIVE], id="no proof of life for a day"
        ),
    ],
)
def test_a_session_by_itself(session: Session, expected: list[Invariant]) -> None:
    assert problems(session) == expected


def test_a_session_that_claims_may_not_find() -> None:
    assert problems(running(), found_by_step=False) == [Invariant.STEPS]


@pytest.mark.parametrize(
    ("ended", "alive", "due", "expected"),
    [
        pytest.param(990 * SECOND, None, MINUTE, [], id="within the time of a process that died"),
        pytest.param(991 * SECOND, None, MINUTE, [Invariant.LEASES], id="not taken over, and put off"),
        pytest.param(991 * SECOND, None, -10 * MINUTE, [Invariant.LEASES], id="it is due"),
        pytest.param(991 * SECOND, None, -11 * MINUTE, [], id="it is overdue, which is another finding"),
        pytest.param(HOUR, MINUTE, MINUTE, [], id="a success that was reported spared its ping"),
    ],
)
def test_a_lease_that_ended(
    ended: timedelta, alive: timedelta | None, due: timedelta, expected: list[Invariant]
) -> None:
    last = None if alive is None else NOW.at - alive
    leased = running(due=Due(Step.PING, NOW.at + due), lease=Lease("t", NOW.at - ended), last_alive_at=last)
    assert problems(leased) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"due": Due(Step.CLOSE, NOW.at + 840 * SECOND)}, [], id="as long as a failed close waits"
        ),
        pytest.param({"due": Due(Step.CLOSE, NOW.at + 841 * SECOND)}, [Invariant.STEPS], id="longer"),
        pytest.param(
            {"due": Due(Step.CLOSE, NOW.at + HOUR), "declared_end_at": NOW.at + HOUR},
            [],
            id="until its declared end",
        ),
        pytest.param({"due": Due(Step.RESOLVE, NOW.at + 1140 * SECOND)}, [], id="until it must show"),
        pytest.param({"due": Due(Step.RESOLVE, NOW.at + HOUR)}, [Invariant.STEPS], id="for ever"),
        pytest.param(
            {"lease": Lease("t", NOW.at - HOUR), "due": Due(Step.CLOSE, NOW.at)},
            [Invariant.LEASES],
            id="its lease ended, and it is put off again and again",
        ),
    ],
)
def test_a_step_of_a_placement_that_lies_ahead(changes: dict[str, Any], expected: list[Invariant]) -> None:
    placement = a_placement(PlacementState.CLOSING, **changes)
    assert [finding.check for finding in judge_placement(placement, NOW)] == expected


@pytest.mark.parametrize(
    ("state", "placements", "expected"),
    [
        pytest.param(State.STOPPING, [PlacementState.CLOSING], [], id="a close is waited for"),
        pytest.param(State.STOPPING, [PlacementState.CLOSED], [Invariant.STEPS], id="nothing is waited for"),
        pytest.param(State.STOPPING, [PlacementState.OPEN], [Invariant.LEAKS], id="not being closed"),
        pytest.param(State.STOPPED, [PlacementState.CLOSED], [], id="it is over"),
        pytest.param(State.STOPPED, [PlacementState.CLOSING], [Invariant.LEAKS], id="over too early"),
        pytest.param(State.FAILED, [PlacementState.UNKNOWN], [Invariant.LEAKS], id="failed too early"),
        pytest.param(
            State.STARTING, [PlacementState.CLOSING, PlacementState.OPENING], [], id="the next one opens"
        ),
        pytest.param(
            State.STARTING, [PlacementState.OPEN, PlacementState.OPENING], [Invariant.SERVING], id="two serve"
        ),
    ],
)
def test_a_session_and_its_placements(
    state: State, placements: list[PlacementState], expected: list[Invariant]
) -> None:
    due = Due(Step.STOP, T0) if state is State.STARTING else None
    session = a_session(state=state, due=due, stopped_at=T0)
    assert problems(session, placements=[a_placement(p) for p in placements]) == expected


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        pytest.param(a_placement(PlacementState.OPEN), [], id="open needs no step"),
        pytest.param(a_placement(PlacementState.CLOSING, due=None), [Invariant.STEPS], id="no step"),
        pytest.param(a_placement(PlacementState.CLOSED, proof=None), [Invariant.PROOFS], id="no proof"),
        pytest.param(
            a_placement(PlacementState.CLOSED, forced_at=T0, forced_by="me", forced_why="gone"),
            [],
            id="forced",
        ),
        pytest.param(
            a_placement(PlacementState.CLOSED, forced_at=T0, forced_by="me"),
            [Invariant.FORCED],
            id="no reason",
        ),
        pytest.param(
            a_placement(PlacementState.OPEN, lease=Lease("t", T0)), [Invariant.LEASES], id="leased at rest"
        ),
    ],
)
def test_a_placement_by_itself(placement: PlacementFacts, expected: list[Invariant]) -> None:
    found = list(judge_placement(placement, NOW))
    assert [finding.check for finding in found] == expected
    assert all(finding.subject == "s" for finding in found)
    orphan = list(judge_placement(replace(placement, session_id=None), NOW))
    assert all(finding.subject == "p1" for finding in orphan)


@pytest.mark.parametrize(
    ("history", "problem"),
    [
        pytest.param([(None, "starting"), (None, "starting"), ("starting", "running")], None, id="its life"),
        pytest.param(
            [(None, "starting"), ("starting", "running"), ("running", "running")],
            None,
            id="news of its health",
        ),
        pytest.param([("starting", "running")], "it began as starting", id="no beginning"),
        pytest.param([(None, "running")], "an event reports None becoming running", id="a false start"),
        pytest.param(
            [(None, "queued"), ("queued", "running")],
            "an event reports queued becoming running",
            id="a leap",
        ),
        pytest.param(
            [(None, "queued"), ("starting", "running")],
            "after queued an event reports starting becoming running",
            id="a gap",
        ),
        pytest.param(
            [(None, "starting"), ("starting", "strange"), ("strange", "running")],
            "an event reports starting becoming strange",
            id="an unknown state",
        ),
        pytest.param([(None, "starting")], "it is running, its last event says starting", id="no end"),
        pytest.param([], None, id="its events have been pruned"),
    ],
)
def test_events_follow_each_other_and_lead_to_the_row(
    history: list[tuple[str | None, str]], problem: str | None
) -> None:
    session = running()
    facts = SessionFacts(session=session, posted=Decimal(10), postings=1, events=reported(*history))
    found = list(judge_session(facts, NOW))
    assert [finding.detail for finding in found][:1] == ([problem] if problem else [])
    assert all(finding == Violation(Invariant.TRANSITIONS, session.id, finding.detail) for finding in found)


@pytest.mark.parametrize("since", [None, T0 - SECOND])
def test_whoever_came_after_the_pruning_has_events(since: Any) -> None:
    assert problems(a_session(), replace(NOW, events_since=since)) == [Invariant.TRANSITIONS]


@pytest.mark.parametrize(
    ("session", "at", "expected"),
    [
        pytest.param(running(), T0 + 10 * MINUTE, [], id="charged so far"),
        pytest.param(running(charged=Decimal(11)), T0 + 10 * MINUTE, [], id="the block that begins now"),
        pytest.param(running(charged=Decimal(12)), T0 + 10 * MINUTE, [Invariant.COST], id="a block too many"),
        pytest.param(running(), T0 + 84 * MINUTE, [], id="not charged for an hour and a quarter"),
        pytest.param(running(), T0 + 86 * MINUTE, [Invariant.COST], id="not charged for longer"),
        pytest.param(
            running(state=State.STARTING, running_since=None, ran_microseconds=600_000_000),
            T0 + HOUR,
            [],
            id="between two placements it costs no more",
        ),
        pytest.param(
            running(
                state=State.STARTING, running_since=None, ran_microseconds=600_000_000, charged=Decimal(11)
            ),
            T0 + HOUR,
            [Invariant.COST],
            id="a block that began as it stopped",
        ),
        pytest.param(
            running(state=State.STARTING, running_since=None, ran_microseconds=660_000_000),
            T0 + HOUR,
            [Invariant.COST],
            id="a minute was forgotten",
        ),
    ],
)
def test_what_was_charged_is_what_the_formula_says(
    session: Session, at: Any, expected: list[Invariant]
) -> None:
    assert problems(session, replace(NOW, at=at)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"held_since": T0 + MINUTE}, [Invariant.PAID], id="it pays for the hold"),
        pytest.param({"held_since": T0 + MINUTE, "stopped_at": T0}, [], id="it pays until it was last alive"),
        pytest.param({}, [], id="nothing held it"),
        pytest.param({"held_since": T0, "stop_reason": StopReason.USER}, [], id="it was closed by its user"),
    ],
)
def test_who_died_after_a_hold_pays_until_its_last_proof_of_life(
    changes: dict[str, Any], expected: list[Invariant]
) -> None:
    died: dict[str, Any] = {"stop_reason": StopReason.DEAD, "stopped_at": T0 + HOUR, "last_alive_at": T0}
    session = a_session(state=State.STOPPED, **(died | changes))
    assert [one for one in problems(session) if one is Invariant.PAID] == expected


def test_what_a_session_says_it_was_charged_is_what_the_ledger_says() -> None:
    assert problems(running(), posted=Decimal(9)) == [Invariant.POSTED]
    assert problems(running(), postings=2) == [Invariant.POSTED]


def an_account(**changes: Any) -> Account:
    """Return an account with 100; its running sessions cost one a minute."""
    return replace(
        Account(id="acme", plan="p", currency="USD", balance=Decimal(100), created_at=T0), **changes
    )


def account_problems(account: Account, plan: Plan = CONTRACT, **facts: Any) -> list[Violation]:
    known = {"posted": Decimal(100)} | facts
    return list(judge_account(AccountFacts(account=account, plan=plan, **known), NOW))


def test_a_balance_is_its_ledger_and_never_below_zero() -> None:
    assert account_problems(an_account()) == []
    [finding] = account_problems(an_account(balance=Decimal(101)))
    assert finding == Violation(
        Invariant.BALANCE, "acme", "its balance is 101.00, its ledger adds up to 100.00"
    )
    [finding] = account_problems(an_account(balance=Decimal(-1)), posted=Decimal(-1))
    assert finding == Violation(Invariant.BALANCE, "acme", "its balance is -1.00, its overdraft 0.00")


@pytest.mark.parametrize(
    ("balance", "expected"),
    [
        pytest.param(-8, [], id="a limit lowered below what was charged under it is no finding"),
        pytest.param(-11, [Invariant.BALANCE], id="more than was allowed even then"),
    ],
)
def test_a_debt_is_judged_by_the_overdraft_of_its_last_charge(
    balance: int, expected: list[Invariant]
) -> None:
    account = an_account(balance=Decimal(balance), charged_under=Decimal(10))
    assert [one.check for one in account_problems(account, posted=account.balance)] == expected


def test_funds_end_with_a_budget_that_stops_sessions() -> None:
    active = [running(charged=Decimal(0), charges=0)]
    day = BudgetPeriod.DAY
    limit = FundsLimit(Decimal(100), day, NOW.at + timedelta(days=1))
    end = money.funds_end(Decimal(100), active, T0)
    assert end is not None
    budget = Budget(period=day, amount=Decimal(100), hard_stop=True, since=NOW.at.date())
    ends = {"funds_end_at": end.at, "funds_session_id": end.session_id, "funds_end_by": day}
    account = an_account(balance=Decimal(500), budgets=(budget,), **ends)
    known: dict[str, Any] = {"posted": Decimal(500), "active": active}
    assert account_problems(account, hard_stops=[limit], **known) == []
    [finding] = account_problems(account, **known)
    assert finding.check is Invariant.FUNDS
    behind = replace(budget, since=NOW.at.date() - timedelta(days=1))
    assert account_problems(replace(account, budgets=(behind,)), **known) == [], "it is computed again"


def test_funds_end_when_the_formula_says() -> None:
    lasts = {"charged": Decimal(0), "charges": 0}
    active = [running(**lasts)]
    end = money.funds_end(Decimal(100), active, T0)
    assert end is not None
    assert account_problems(an_account(funds_end_at=end.at), active=active) == []
    [finding] = account_problems(an_account(funds_end_at=end.at + SECOND), active=active)
    assert finding.check is Invariant.FUNDS
    assert finding.detail.endswith("by the formula 2025-09-15 13:40:00Z")
    [finding] = account_problems(an_account(funds_end_at=end.at), active=[])
    assert finding.detail.endswith("by the formula never")
    assert account_problems(an_account(funds_end_at=end.at), active=None) == [], "too many to be read"


@given(st.integers(0, 200), st.integers(0, 100))
def test_the_end_of_funds_is_the_same_whenever_it_is_looked_at(balance: int, minutes: int) -> None:
    active = [running(charged=Decimal(0), charges=0)]
    amount = Decimal(balance)
    end = money.funds_end(amount, active, T0)
    account = an_account(balance=amount, funds_end_at=end.at if end else None)
    facts = AccountFacts(account=account, posted=amount, plan=CONTRACT, active=active)
    assert list(judge_account(facts, replace(NOW, at=T0 + minutes * MINUTE))) == []


def test_where_many_run_funds_last_at_least_as_long_as_was_said() -> None:
    active = [running(charged=Decimal(0), charges=0, id=f"s{n}") for n in range(2)]
    end = money.funds_end(Decimal(100), active, T0)
    assert end is not None
    exact = an_account(funds_end_at=end.at, funds_session_id=end.session_id)
    early = replace(exact, funds_end_at=end.at - SECOND)
    assert account_problems(replace(early, funds_session_id=None), active=active) == []
    assert account_problems(early, active=active)[0].check is Invariant.FUNDS
    [finding] = account_problems(an_account(funds_end_at=end.at + SECOND), active=active)
    assert finding.detail.startswith("its funds last until")


def test_sessions_that_run_are_as_many_and_as_dear_as_were_counted() -> None:
    active = [running(charged=Decimal(0), charges=0), a_starting_session()]
    end = money.funds_end(Decimal(100), active[:1], T0)
    assert end is not None
    account = an_account(funds_end_at=end.at, funds_session_id=end.session_id)
    groups = grouped(active)
    assert account_problems(account, active=active, groups=groups) == []
    assert account_problems(account, active=None, groups=groups) == [], "too many to be read"
    details = [one.detail for one in account_problems(account, active=active, groups=groups[:1])]
    assert details == [
        "of its sessions starting at 60.00 on 1 nodes by 60 s there are 1 (0.00 charged), counted were none"
    ]


LATER = T0 + MINUTE


def came(at: datetime = T0, admitted: datetime | None = T0, **under: int) -> Admission:
    return Admission(created_at=at, admitted_at=admitted, under=under)


@pytest.mark.parametrize(
    ("held", "admissions", "expected"),
    [
        pytest.param({"total": 20, "concurrent": 2}, [], [], id="all that the plan allows"),
        pytest.param(
            {"total": 21, "concurrent": 2},
            [came(max_sessions=50), came(LATER, max_sessions=20)],
            ["it holds 21 sessions, 20 were allowed when the newest came"],
            id="one too many was created",
        ),
        pytest.param({"total": 21}, [came(max_sessions=21), came(LATER, max_sessions=21)], [], id="lowered"),
        pytest.param({"total": 21}, [came(max_sessions=2), came(LATER)], [], id="unbound when it came"),
        pytest.param({"total": 21}, [], [], id="it is not known when they came"),
        pytest.param(
            {"concurrent": 3},
            [came(LATER, T0, max_concurrent=9), came(T0, LATER, max_concurrent=2), came(LATER, None)],
            ["it holds 3 concurrent sessions, 2 were allowed when the newest came"],
            id="the newest is who was admitted last, whenever it was created",
        ),
        pytest.param(
            {"concurrent": 3},
            [came(max_concurrent=2), came(max_concurrent=3)],
            [],
            id="of several at one instant the last is not known",
        ),
        pytest.param(
            {"nodes": 5},
            [came(max_nodes_total=4)],
            ["it holds 5 nodes in total, 4 were allowed when the newest came"],
            id="nodes in total",
        ),
        pytest.param(
            {"active": [a_session(id="s", state=State.STARTING, nodes=3, admitted_under={"max_nodes": 2})]},
            [],
            ["session s has 3 nodes, 2 were allowed when it came"],
            id="nodes",
        ),
        pytest.param(
            {
                "active": [
                    a_session(state=State.STARTING, nodes=3, admitted_under={"max_nodes": 3}),
                    a_session(state=State.STARTING, nodes=3),
                ]
            },
            [],
            [],
            id="nodes that were allowed, or by an earlier release",
        ),
    ],
)
def test_nothing_was_admitted_over_the_quota_of_its_time(
    held: dict[str, Any], admissions: list[Admission], expected: list[str]
) -> None:
    plan = replace(PAYG, max_nodes_total=4)
    found = account_problems(an_account(plan="payg"), plan, **held, admissions=admissions)
    assert found == [Violation(Invariant.QUOTA, "acme", detail) for detail in expected]


def test_sessions_at_rest_are_as_many_as_were_counted() -> None:
    there = {"stopped at alpha": 3, "created": 1}
    assert account_problems(an_account(), at_rest=AtRest(counted=there, there=there)) == []
    miscounted = {"stopped at alpha": 2, "failed": 1, "created": 1}
    assert account_problems(an_account(), at_rest=AtRest(counted=miscounted, there=there)) == [
        Violation(Invariant.COUNTS, "acme", "sessions that are failed: 0, counted: 1"),
        Violation(Invariant.COUNTS, "acme", "sessions that are stopped at alpha: 3, counted: 2"),
    ]


def test_who_holds_no_more_than_now_allowed_needs_no_second_look() -> None:
    facts = AccountFacts(account=an_account(), posted=Decimal(100), plan=PAYG, total=20, concurrent=2)
    assert not exceeds_quota(facts)
    assert exceeds_quota(replace(facts, concurrent=3))
    assert not exceeds_quota(replace(facts, plan=CONTRACT, concurrent=3))


def test_a_late_step_is_nobodys_or_somebodys_who_let_it_go() -> None:
    assert judge_lateness("ping", T0, None, "s") == Violation(
        Invariant.OVERDUE, "s", "ping is due since 2025-09-15 12:00:00Z"
    )
    assert judge_lateness("ping", T0, T0, "s") == Violation(
        Invariant.LEASES, "s", "ping was not taken over: its lease ended 2025-09-15 12:00:00Z"
    )


def test_a_turn_for_the_worse_or_better_is_reported_once() -> None:
    found = [Violation(Invariant.LEAKS, f"s{n}", "it is open") for n in range(7)]
    [worse] = turned({"cost": 1}, {"cost": 2, "leaks": 7}, found)
    assert (worse.type, worse.subject) == ("orchestrator.audit.violated", "leaks")
    assert worse.data["violations"] == 7
    assert worse.data["examples"][-1] == {"subject": "s4", "detail": "it is open"}
    [better] = turned({"leaks": 7}, {}, [])
    assert (better.type, better.data["violations"]) == ("orchestrator.audit.healed", 0)
    assert list(turned({"leaks": 7}, {"leaks": 6}, found)) == []
