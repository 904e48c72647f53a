"""What other rules would do: judged by the rules themselves, on snapshots."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.admission.quota import terms_of
from orchestrator.rules.billing.hard_stops import FundsLimit
from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.trial.admitted import refused_under
from orchestrator.rules.trial.compare import (
    IT_MOVES,
    TrialEffect,
    TrialFinding,
    TrialFunds,
    TrialTime,
    compare,
)
from orchestrator.rules.trial.history import PastEvent, SessionPast, Traffic, traffic_before
from orchestrator.rules.trial.money_ends import MOST_STOPPED, funds_ends
from orchestrator.rules.trial.replay import IF_IT_GOES_ON, MOST_PINGS, dead_ahead
from orchestrator.rules.trial.rulebook import Rulebook, begun_under, changes_quota
from orchestrator.rules.values import Account, BudgetPeriod, Plan, Policy, Session, Verdict
from tests.rules.builders import (
    HOUR,
    MINUTE,
    PAYG,
    POLICY,
    SECOND,
    T0,
    a_running_session,
    a_session,
    a_starting_session,
)

ACME = Account(id="acme", plan="payg", currency="USD", balance=Decimal(100), created_at=T0)
NOW = T0 + 2 * HOUR
DEAD = StopReason.DEAD


def book(policy: Policy = POLICY, plan: Plan = PAYG, **prices: str) -> Rulebook:
    return Rulebook(
        policy_for=lambda _provider: policy,
        terms_of=lambda account: terms_of(plan, account),
        prices={model: Decimal(price) for model, price in prices.items()},
    )


def tried(
    session: Session, changed: Rulebook, *events: PastEvent, now: datetime = NOW
) -> TrialFinding | None:
    past = SessionPast(session=session, account=ACME, events=events)
    return compare(past, book(), changed, TrialFunds(), now)


def stopped(after: timedelta, reason: StopReason, **changes: Any) -> Session:
    """Return a session that ran from T0 until then."""
    ran = {"running_since": None, "ran_microseconds": after // timedelta(microseconds=1)}
    over = {"state": State.STOPPED, "stopped_at": T0 + after, "ended_at": T0 + after, "stop_reason": reason}
    return a_running_session(**ran | over | changes)


def suspect(after: timedelta, latency_ms: int = 0) -> PastEvent:
    return PastEvent(
        kind="suspect", at=T0 + after, interactions=0, verdict=Verdict.TRANSIENT, latency_ms=latency_ms
    )


def event(kind: str, after: timedelta, interactions: int = 0, **more: Any) -> PastEvent:
    return PastEvent(kind=kind, at=T0 + after, interactions=interactions, **more)


DIED = event("stopping", 61 * SECOND, stop_reason=DEAD)


@pytest.mark.parametrize(
    ("session", "changed", "expected"),
    [
        pytest.param(
            a_starting_session(),
            book(Policy(start_timeout_seconds=300)),
            (TrialEffect.STOPS, TrialTime.DEPLOYED, T0 + 5 * MINUTE, "start_timeout"),
            id="a start that may take less time",
        ),
        pytest.param(
            a_starting_session(),
            book(Policy(start_timeout_seconds=9000)),
            (TrialEffect.SPARES, TrialTime.DEPLOYED, T0 + 9000 * SECOND, "start_timeout"),
            id="a start that may take more",
        ),
        pytest.param(
            a_running_session(),
            book(plan=replace(PAYG, max_duration_seconds=3600)),
            (TrialEffect.STOPS, TrialTime.HINDSIGHT, T0 + HOUR, "max_duration"),
            id="a shorter plan binds those that begin under it",
        ),
        pytest.param(
            a_running_session(max_cost=Decimal(180)),
            book(llama="120"),
            (TrialEffect.STOPS, TrialTime.HINDSIGHT, T0 + 90 * MINUTE, "max_cost"),
            id="a higher price reaches a max_cost earlier",
        ),
        pytest.param(
            a_session(state=State.QUEUED, queued_at=T0, queue_deadline_at=T0 + HOUR),
            book(plan=replace(PAYG, queue_timeout_seconds=600)),
            (TrialEffect.STOPS, TrialTime.HINDSIGHT, T0 + 10 * MINUTE, "queue_timeout"),
            id="a queue that waits less",
        ),
        pytest.param(
            stopped(HOUR, StopReason.USER),
            book(plan=replace(PAYG, max_duration_seconds=600)),
            (TrialEffect.STOPS, TrialTime.HINDSIGHT, T0 + 10 * MINUTE, "max_duration"),
            id="one that is over would have ended earlier",
        ),
        pytest.param(
            stopped(HOUR, StopReason.MAX_DURATION, plan_max_duration_seconds=3600),
            book(plan=replace(PAYG, max_duration_seconds=7200)),
            (TrialEffect.SPARES, TrialTime.HINDSIGHT, T0 + 2 * HOUR, "max_duration"),
            id="or would have gone on",
        ),
        pytest.param(
            stopped(HOUR, StopReason.USER, running_at=T0 + 10 * MINUTE),
            book(Policy(start_timeout_seconds=300)),
            (TrialEffect.STOPS, TrialTime.HINDSIGHT, T0 + 5 * MINUTE, "start_timeout"),
            id="one that started slowly would not have run",
        ),
        pytest.param(
            a_starting_session(
                state=State.FAILED, stopped_at=T0 + 20 * MINUTE, stop_reason=StopReason.START_TIMEOUT
            ),
            book(Policy(start_timeout_seconds=2400)),
            (TrialEffect.SPARES, TrialTime.HINDSIGHT, T0 + 40 * MINUTE, "start_timeout"),
            id="one that failed to start had more time",
        ),
        pytest.param(
            a_session(
                state=State.FAILED,
                queued_at=T0,
                queue_deadline_at=T0 + HOUR,
                stopped_at=T0 + HOUR,
                stop_reason=StopReason.QUEUE_TIMEOUT,
            ),
            book(plan=replace(PAYG, queue_timeout_seconds=1800)),
            (TrialEffect.STOPS, TrialTime.HINDSIGHT, T0 + 30 * MINUTE, "queue_timeout"),
            id="one that waited in vain",
        ),
    ],
)
def test_a_change_reaches_a_session(session: Session, changed: Rulebook, expected: tuple[Any, ...]) -> None:
    found = tried(session, changed)
    assert found is not None
    assert (found.effect, found.time, found.at, found.reason) == expected
    assert found.detail


@pytest.mark.parametrize(
    ("session", "changed"),
    [
        pytest.param(a_running_session(), book(Policy(start_timeout_seconds=300)), id="it runs"),
        pytest.param(
            a_running_session(max_duration_seconds=60),
            book(plan=replace(PAYG, max_duration_seconds=3600)),
            id="its own limit is shorter",
        ),
        pytest.param(
            a_running_session(), book(plan=replace(PAYG, max_sessions=1)), id="a quota stops nothing"
        ),
        pytest.param(a_running_session(model_id="other"), book(llama="90"), id="another model's price"),
        pytest.param(a_session(state=State.QUEUED), book(Policy(max_placements=1)), id="nothing stops it"),
        pytest.param(a_session(), book(plan=replace(PAYG, max_duration_seconds=60)), id="never started"),
        pytest.param(
            a_session(state=State.STOPPED, stopped_at=T0 + HOUR, stop_reason=StopReason.USER),
            book(plan=replace(PAYG, max_duration_seconds=60)),
            id="closed before it started",
        ),
        pytest.param(
            stopped(HOUR, StopReason.USER),
            book(plan=replace(PAYG, max_duration_seconds=9000)),
            id="its user closed it",
        ),
        pytest.param(
            stopped(HOUR, StopReason.BALANCE_EXHAUSTED, max_cost=Decimal(60)),
            book(llama="30"),
            id="what the balance would have been is not known",
        ),
        pytest.param(
            stopped(2 * HOUR, StopReason.USER, plan_max_duration_seconds=3600),
            book(Policy(start_timeout_seconds=900)),
            id="it outlived a rule by then already",
        ),
    ],
)
def test_a_change_leaves_a_session_as_it_is(session: Session, changed: Rulebook) -> None:
    assert tried(session, changed) is None


def test_a_death_comes_earlier_with_a_shorter_limit_and_not_with_a_longer_one() -> None:
    died = stopped(61 * SECOND, DEAD)
    earlier = tried(
        died, book(Policy(dead_after_failures=2, dead_after_seconds=1)), suspect(0 * SECOND), DIED
    )
    assert earlier is not None
    assert (earlier.effect, earlier.at, earlier.reason) == (TrialEffect.STOPS, T0 + SECOND, "dead")
    spared = tried(died, book(Policy(dead_after_seconds=120)), suspect(0 * SECOND), DIED)
    assert spared is not None
    assert (spared.effect, spared.at, spared.reason) == (
        TrialEffect.SPARES,
        T0 + timedelta(days=1),
        "max_duration",
    )
    assert spared.otherwise is not None
    assert spared.otherwise.at == T0 + 61 * SECOND
    assert tried(died, book(Policy(dead_after_failures=5)), suspect(0 * SECOND), DIED) is None, (
        "7 failed by then"
    )


def test_pings_that_time_out_are_fewer_in_the_same_time() -> None:
    """Three pings of 30 s are 94 s: a rule that wants five failures would have waited longer."""
    died = stopped(93 * SECOND, DEAD)
    history = suspect(0 * SECOND, 30_000), event("stopping", 93 * SECOND, stop_reason=DEAD)
    spared = tried(died, book(Policy(dead_after_failures=5)), *history)
    assert spared is not None
    assert spared.effect is TrialEffect.SPARES


@pytest.mark.parametrize(
    ("recovered", "changes", "at"),
    [
        pytest.param(7 * SECOND, {"dead_after_seconds": 3}, T0 + 3 * SECOND, id="it would have died in it"),
        pytest.param(
            7 * SECOND, {"dead_after_failures": 4, "dead_after_seconds": 7}, None, id="a ping too few"
        ),
        pytest.param(
            MINUTE, {"dead_after_failures": 4, "dead_after_seconds": 7}, T0 + 7 * SECOND, id="enough"
        ),
        pytest.param(HOUR, {"dead_after_seconds": 3}, None, id="it should have died: a brake held it"),
    ],
)
def test_a_doubt_that_ended_well_is_played_again(
    recovered: timedelta, changes: dict[str, Any], at: datetime | None
) -> None:
    history = suspect(0 * SECOND), suspect(SECOND), event("recovered", recovered)
    found = tried(a_running_session(), book(Policy(**changes)), *history)
    assert (found and found.at) == at


def test_a_session_with_failover_moves() -> None:
    lively = a_running_session(failover=True)
    strict = book(Policy(dead_after_failures=1, dead_after_seconds=0))
    moved = event("suspect", SECOND, verdict=Verdict.GONE), event("failed_over", 2 * SECOND)
    assert tried(lively, strict, *moved, event("running", MINUTE)) is None
    again = suspect(5 * MINUTE), event("recovered", 6 * MINUTE)
    found = tried(lively, strict, *moved, *again)
    assert found is not None
    assert found.condition == IT_MOVES


def test_a_session_in_doubt_dies_earlier_if_its_pings_go_on_like_that() -> None:
    since = NOW - 31 * SECOND
    doubtful = a_running_session(
        last_verdict=Verdict.TRANSIENT, failures=5, failing_since=since, not_well_since=since, ping_at=NOW
    )
    found = tried(doubtful, book(Policy(dead_after_seconds=31)))
    assert found is not None
    assert (found.at, found.condition, found.time) == (NOW, IF_IT_GOES_ON, TrialTime.DEPLOYED)


def test_a_server_that_is_busy_dies_when_an_answer_may_take_less_time() -> None:
    busy = a_running_session(
        last_verdict=Verdict.TRANSIENT, busy_since=NOW - MINUTE, not_well_since=NOW - MINUTE
    )
    found = tried(busy, book(Policy(busy_dead_after_seconds=120)))
    assert found is not None
    assert found.at == NOW + MINUTE
    assert "busy" in found.detail


def test_what_never_dies_is_not_played_for_ever() -> None:
    ages = Policy(throttled_after_seconds=30.0 * 2 * MOST_PINGS)
    throttled = a_running_session(last_verdict=Verdict.THROTTLED, not_well_since=NOW)
    assert dead_ahead(throttled, ages, NOW) is None
    assert dead_ahead(a_running_session(last_verdict=Verdict.ALIVE, held_since=T0), POLICY, NOW) is None


@given(
    after=st.integers(0, 7200),
    reason=st.sampled_from([StopReason.USER, StopReason.DEAD, StopReason.MAX_DURATION, StopReason.IDLE]),
    state=st.sampled_from([State.QUEUED, State.STARTING, State.RUNNING, State.STOPPED, State.FAILED]),
    doubts=st.lists(st.integers(0, 7200), max_size=6),
    killed=st.booleans(),
)
def test_the_same_rules_change_nothing(
    after: int, reason: StopReason, state: State, doubts: list[int], *, killed: bool
) -> None:
    over = state in {State.STOPPED, State.FAILED}
    session = stopped(timedelta(seconds=after), reason) if over else a_running_session(state=state)
    kinds = ("suspect", "recovered")
    history = [event(kinds[n % 2], timedelta(seconds=at)) for n, at in enumerate(sorted(doubts))]
    end = event("stopping", timedelta(seconds=7300), stop_reason=DEAD if killed else None)
    assert tried(session, book(), *history, end) is None
    assert tried(session, book(llama="60"), *history, end) is None, "the price that it has"


@given(limit=st.integers(60, 86_399), lived=st.integers(1, 86_400), own=st.integers(60, 90_000))
def test_a_shorter_plan_ends_exactly_what_outlives_it(limit: int, lived: int, own: int) -> None:
    """Whatever the session's own limit: it ends at the plan's ceiling if it would have lived longer."""
    running = a_running_session(max_duration_seconds=own)
    found = tried(running, book(plan=replace(PAYG, max_duration_seconds=limit)))
    changed = min(own, limit) != min(own, PAYG.max_duration_seconds)
    assert (found is not None) is changed
    if found is not None:
        assert found.at == T0 + min(own, limit) * SECOND
    closed = stopped(timedelta(seconds=lived), StopReason.USER, max_duration_seconds=max(own, lived + 1))
    found = tried(closed, book(plan=replace(PAYG, max_duration_seconds=limit)))
    assert (found is not None) is (limit < lived)


def test_funds_stop_one_session_after_the_other() -> None:
    two = [a_running_session(id=name) for name in ("a", "b")]
    ends = funds_ends([FundsLimit(Decimal(10))], two, T0)
    assert {one: end.at for one, end in ends.items()} == {"a": T0 + 5 * MINUTE, "b": T0 + 5 * MINUTE}
    assert funds_ends([FundsLimit(Decimal(20))], two, T0)["a"].at == T0 + 10 * MINUTE
    many = [a_running_session(id=f"{n:03}") for n in range(MOST_STOPPED + 5)]
    assert len(funds_ends([FundsLimit(Decimal(0))], many, T0)) == MOST_STOPPED


def test_funds_end_by_the_budget_that_ends_before_the_balance() -> None:
    two = [a_running_session(id=name) for name in ("a", "b")]
    day = FundsLimit(Decimal(6), BudgetPeriod.DAY, T0 + 4 * MINUTE)
    ends = funds_ends([day, FundsLimit(Decimal(10))], two, T0)
    assert {one: (end.at, end.by) for one, end in ends.items()} == {
        "a": (T0 + 3 * MINUTE, BudgetPeriod.DAY),
        "b": (T0 + 3 * MINUTE, BudgetPeriod.DAY),
    }
    over = replace(day, until=T0 + 3 * MINUTE)
    assert funds_ends([over, FundsLimit(Decimal(10))], two, T0)["a"] == FundsEnd(T0 + 5 * MINUTE, "a")


def test_the_end_of_the_funds_moves_with_the_overdraft() -> None:
    session = a_running_session()
    ends = {
        name: funds_ends([FundsLimit(Decimal(n))], [session], NOW)
        for name, n in (("now", 180), ("then", 120))
    }
    past = SessionPast(session=session, account=ACME)
    funds = TrialFunds(now=ends["now"], deployed=ends["then"], hindsight=ends["then"])
    found = compare(past, book(), book(), funds, NOW)
    assert found is not None
    assert (found.at, found.reason) == (NOW, "balance_exhausted")


@pytest.mark.parametrize(
    ("plan", "codes"),
    [
        pytest.param({"max_concurrent": 1}, {"b": "quota_concurrent_exceeded"}, id="two at once"),
        pytest.param({"max_nodes": 1}, {"d": "quota_nodes_exceeded"}, id="nodes"),
        pytest.param(
            {"max_sessions": 2}, {"c": "quota_total_exceeded", "d": "quota_total_exceeded"}, id="all"
        ),
        pytest.param(
            {"max_nodes_total": 1}, dict.fromkeys("bd", "quota_nodes_exceeded"), id="nodes together"
        ),
        pytest.param({"max_concurrent": 9}, {}, id="more"),
        pytest.param({"max_nodes": 2}, {}, id="the same"),
    ],
)
def test_a_quota_would_have_refused(plan: dict[str, Any], codes: dict[str, str]) -> None:
    def ran(name: str, begins: int, ends: int | None, **more: Any) -> Session:
        at = T0 + begins * MINUTE
        ended = {} if ends is None else {"state": State.STOPPED, "ended_at": T0 + ends * MINUTE}
        plain = {"id": name, "created_at": at, "starting_at": at, "running_at": at}
        return a_running_session(**plain | ended | more)

    moved = {"starting_at": T0 + 9 * MINUTE}  # long after its admission
    sessions = [
        ran("old", -60, -30, deleted_at=T0 - 20 * MINUTE),
        ran("a", 0, 10, **moved),
        ran("b", 5, 20),
        a_session(id="c", created_at=T0 + 22 * MINUTE),
        ran("d", 25, None, nodes=2),
    ]
    new = terms_of(replace(PAYG, **plan), ACME)
    old = terms_of(PAYG, ACME)
    found = {one.id: refusal.code for one, _, refusal in refused_under(sessions, old, new, T0)}
    assert found == codes
    assert changes_quota(old, new) is (new != old)


@pytest.mark.parametrize(
    ("at", "used", "expected"),
    [
        pytest.param(60, 60, Traffic(1, 30), id="events leave it open, its last use does not"),
        pytest.param(35, 40, Traffic(0, 30), id="events leave it open"),
        pytest.param(31, 30, Traffic(10, 50), id="two events within"),
        pytest.param(28, 20, Traffic(0, 0), id="its last use was before"),
        pytest.param(900, 118, Traffic(10, 40), id="the future is not known: until now"),
        pytest.param(5, None, Traffic(0, 10), id="from its beginning"),
    ],
)
def test_use_before_a_stop_has_bounds(at: int, used: int | None, expected: Traffic) -> None:
    session = a_running_session(
        interactions=60, last_interaction_at=None if used is None else T0 + used * MINUTE
    )
    events = (
        event("running", MINUTE),
        event("expiring", 27 * MINUTE, 10),
        event("suspect", 30 * MINUTE, 20),
        event("recovered", 116 * MINUTE, 50),
    )
    past = SessionPast(session=session, account=ACME, events=events)
    assert traffic_before(past, T0 + at * MINUTE, NOW) == expected


def test_bounds_are_written_short() -> None:
    assert [str(one) for one in (Traffic(3, 3), Traffic(0, 7))] == ["3", "0-7"]


def test_only_what_differs_between_plans_is_laid_over_a_session() -> None:
    special = a_running_session(plan_max_duration_seconds=7, block_seconds=1)
    other = replace(PAYG, billing_block_seconds=3600, queue_timeout_seconds=1)
    assert begun_under(special, PAYG, other, Decimal(60)) == replace(special, block_seconds=3600)
    assert begun_under(special, PAYG, PAYG, None) is special
