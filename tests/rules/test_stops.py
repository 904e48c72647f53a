from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.sessions.stops import (
    ASK_MARGIN_SECONDS,
    PRECEDENCE,
    ask_duration,
    finished,
    idle_by,
    interactions_limit,
    is_used_up,
    next_stop,
    proves_use,
    reason_without_place,
    seconds_at_its_place,
    stopped,
)
from orchestrator.rules.states import PlacementState, State, StopReason
from orchestrator.rules.values import BudgetPeriod, Policy, Session
from orchestrator.rules.warnings import next_warning
from tests.rules.builders import (
    HOUR,
    MINUTE,
    POLICY,
    SECOND,
    T0,
    a_placement,
    a_running_session,
    a_session,
    a_starting_session,
)

DAY = 24 * HOUR
MINE = a_session().id
REACHED = {"limit_reached_at": T0 + MINUTE, "interactions": 10}
ASK_SHORTEST = 300


@pytest.mark.parametrize(
    ("changes", "reason", "after", "detail"),
    [
        pytest.param(
            {}, StopReason.MAX_DURATION, DAY, "plan's ceiling of 86400 s", id="no session is without"
        ),
        pytest.param(
            {"max_duration_seconds": 3600},
            StopReason.MAX_DURATION,
            HOUR,
            "its own limit of 3600 s",
            id="its own time",
        ),
        pytest.param(
            {"model_max_duration_seconds": 60, "max_duration_seconds": 3600},
            StopReason.MODEL_LIMIT,
            MINUTE,
            "the model's limit of 60 s",
            id="the model's time",
        ),
        pytest.param(
            {"max_duration_seconds": 10**15},
            StopReason.MAX_DURATION,
            DAY,
            "plan",
            id="a time beyond the calendar",
        ),
        pytest.param(
            {"max_interactions": 10, **REACHED},
            StopReason.MAX_INTERACTIONS,
            MINUTE,
            "10 interactions reported, its own limit is 10",
            id="its own number of interactions",
        ),
        pytest.param(
            {"max_interactions": 11, "model_max_interactions": 10, **REACHED},
            StopReason.MODEL_LIMIT,
            MINUTE,
            "the model's limit is 10",
            id="the model's number of interactions",
        ),
        pytest.param(
            {"max_interactions": 11, **REACHED},
            StopReason.MAX_DURATION,
            DAY,
            "plan",
            id="extended after it was reached",
        ),
        pytest.param(
            {"max_interactions": 10, "interactions": 9},
            StopReason.MAX_DURATION,
            DAY,
            "plan",
            id="not reached yet",
        ),
        pytest.param(
            {"idle_seconds": 600}, StopReason.IDLE, 10 * MINUTE, "since it began to run", id="never used"
        ),
        pytest.param(
            {"idle_seconds": 600, "last_interaction_at": T0 + HOUR},
            StopReason.IDLE,
            HOUR + 10 * MINUTE,
            "idle for 600 s since the last interaction",
            id="not used any more",
        ),
        pytest.param(
            {"idle_seconds": 600, "last_interaction_at": T0 + HOUR, "running_since": T0 + 2 * HOUR},
            StopReason.IDLE,
            2 * HOUR + 10 * MINUTE,
            "since it began to run",
            id="while it was moved it could not be used",
        ),
        pytest.param(
            {"max_cost": Decimal(5)}, StopReason.MAX_COST, 5 * MINUTE, "5.00 USD", id="its own cost"
        ),
        pytest.param(
            {"declared_end_at": T0 + HOUR},
            StopReason.PROVIDER_ENDED,
            HOUR,
            "declared",
            id="the provider's end",
        ),
        pytest.param(
            {"declared_end_at": T0 + HOUR, "max_duration_seconds": 3600},
            StopReason.MAX_DURATION,
            HOUR,
            "its own",
            id="of two at one instant its own goes first",
        ),
    ],
)
def test_a_running_session_stops(
    changes: dict[str, Any], reason: StopReason, after: timedelta, detail: str
) -> None:
    forecast = next_stop(a_running_session(**changes), POLICY)
    assert (forecast.reason, forecast.ends_at) == (reason, T0 + after)
    assert detail in (forecast.detail or "")


def test_a_budget_is_named_where_it_ends_the_session() -> None:
    session = a_running_session(id=MINE)
    forecast = next_stop(session, POLICY, FundsEnd(T0 + HOUR, MINE, BudgetPeriod.MONTH))
    assert (forecast.reason, forecast.stop_at) == (StopReason.BUDGET_EXHAUSTED, T0 + HOUR)
    assert forecast.detail == "the account's budget of the month cannot pay the next block"


def test_the_funds_end_only_the_session_whose_block_they_cannot_pay() -> None:
    session = a_running_session()
    forecast = next_stop(session, POLICY, FundsEnd(T0 + HOUR, MINE))
    assert (forecast.reason, forecast.stop_at) == (StopReason.BALANCE_EXHAUSTED, T0 + HOUR)
    assert next_stop(session, POLICY, FundsEnd(T0 + HOUR, "another")).stop_at == T0 + DAY


def test_a_queued_session_waits_until_its_deadline() -> None:
    forecast = next_stop(a_session(state=State.QUEUED, queue_deadline_at=T0 + HOUR), POLICY)
    assert (forecast.reason, forecast.stop_at) == (StopReason.QUEUE_TIMEOUT, T0 + HOUR)


@pytest.mark.parametrize(
    ("changes", "reason", "after"),
    [
        pytest.param({}, StopReason.START_TIMEOUT, 20 * MINUTE, id="it has its time to start"),
        pytest.param(
            {"starting_at": None}, StopReason.START_TIMEOUT, 20 * MINUTE, id="without a start, from creation"
        ),
        pytest.param(
            {"running_at": T0 - HOUR}, StopReason.DEAD, 20 * MINUTE, id="once it ran it never fails"
        ),
        pytest.param(
            {"running_at": T0 - HOUR, "max_duration_seconds": 4000},
            StopReason.MAX_DURATION,
            400 * SECOND,
            id="its time continues while it is moved",
        ),
        pytest.param(
            {"running_at": T0 - HOUR, "max_interactions": 10, **REACHED},
            StopReason.MAX_INTERACTIONS,
            MINUTE,
            id="its interactions count while it is moved",
        ),
        pytest.param(
            {"idle_seconds": 1, "running_at": T0}, StopReason.DEAD, 20 * MINUTE, id="it is not idle"
        ),
        pytest.param(
            {"max_duration_seconds": 1}, StopReason.START_TIMEOUT, 20 * MINUTE, id="its time has not begun"
        ),
    ],
)
def test_a_starting_session_stops(changes: dict[str, Any], reason: StopReason, after: timedelta) -> None:
    forecast = next_stop(a_starting_session(**changes), POLICY)
    assert (forecast.reason, forecast.stop_at) == (reason, T0 + after)


@pytest.mark.parametrize("state", [State.CREATED, State.STOPPING, State.STOPPED, State.FAILED, State.QUEUED])
def test_where_nothing_runs_no_rule_stops(state: State) -> None:
    forecast = next_stop(
        a_session(state=state, running_at=T0, max_duration_seconds=1, idle_seconds=1), POLICY
    )
    assert (forecast.stop_at, forecast.reason, forecast.detail, forecast.candidates) == (None, None, None, ())


def test_idleness_needs_a_beginning() -> None:
    session = a_running_session(idle_seconds=1, running_at=None, running_since=None)
    assert next_stop(session, POLICY).stop_at is None


IDLE = {"idle_seconds": 60, "last_interaction_at": T0}


@pytest.mark.parametrize(
    ("changes", "funds", "decided", "reason", "at"),
    [
        pytest.param({}, None, 90, StopReason.IDLE, 60, id="it is decided after its grace"),
        pytest.param({"max_duration_seconds": 50}, None, 50, StopReason.MAX_DURATION, 50, id="not before it"),
        pytest.param(
            {"max_duration_seconds": 70}, None, 70, StopReason.IDLE, 60, id="its end ends the grace"
        ),
        pytest.param({"max_duration_seconds": 60}, None, 60, StopReason.MAX_DURATION, 60, id="both at once"),
        pytest.param({"max_duration_seconds": 90}, None, 90, StopReason.IDLE, 60, id="as late as the grace"),
        pytest.param({"declared_end_at": T0 + 80 * SECOND}, None, 80, StopReason.IDLE, 60, id="declared end"),
        pytest.param({}, 75, 75, StopReason.IDLE, 60, id="the rest of the grace is free"),
        pytest.param({}, 55, 55, StopReason.BALANCE_EXHAUSTED, 55, id="it is free until then"),
    ],
)
def test_an_idle_end_waits_for_late_reports_and_no_longer_than_any_other(
    changes: dict[str, Any], funds: int | None, decided: int, reason: StopReason, at: int
) -> None:
    end = None if funds is None else FundsEnd(T0 + funds * SECOND, MINE)
    forecast = next_stop(a_running_session(**IDLE, **changes), POLICY, end)
    assert (forecast.stop_at, forecast.reason) == (T0 + decided * SECOND, reason)
    assert forecast.ends_at == T0 + at * SECOND


def test_use_that_began_before_the_idle_end_moves_it() -> None:
    session = a_running_session(**IDLE)
    assert proves_use(session, POLICY, T0 + 59 * SECOND)
    assert not proves_use(session, POLICY, T0 + 60 * SECOND)
    assert proves_use(a_running_session(), POLICY, T0 + DAY), "nothing limits its idle time"
    assert proves_use(a_starting_session(**IDLE), POLICY, T0 + DAY), "it is being moved"


def test_a_stop_finds_the_idle_end_that_lies_before_it() -> None:
    session = a_running_session(**IDLE)
    assert idle_by(session, POLICY, T0 + 59 * SECOND) is None
    found = idle_by(session, POLICY, T0 + 60 * SECOND)
    assert found is not None
    assert (found.reason, found.at) == (StopReason.IDLE, T0 + MINUTE)
    assert idle_by(a_running_session(), POLICY, T0 + DAY) is None
    assert idle_by(a_starting_session(**IDLE), POLICY, T0 + DAY) is None


def test_without_grace_an_idle_end_is_decided_at_once() -> None:
    forecast = next_stop(a_running_session(**IDLE), replace(POLICY, idle_grace_seconds=0))
    assert forecast.stop_at == forecast.ends_at == T0 + MINUTE


def test_every_reason_has_its_precedence() -> None:
    assert set(PRECEDENCE) == set(StopReason)


SECONDS = st.none() | st.integers(1, 10**6)
INSTANTS = st.none() | st.integers(0, 10**5).map(lambda n: T0 + n * SECOND)
LIVE = st.builds(
    lambda state, **changes: a_running_session(state=state, **changes),
    st.sampled_from([State.STARTING, State.RUNNING]),
    max_duration_seconds=SECONDS,
    model_max_duration_seconds=SECONDS,
    plan_max_duration_seconds=st.integers(1, 10**6),
    max_interactions=SECONDS,
    model_max_interactions=SECONDS,
    interactions=st.integers(0, 10**6),
    limit_reached_at=INSTANTS,
    idle_seconds=SECONDS,
    last_interaction_at=INSTANTS,
    max_cost=st.none() | st.integers(0, 10**6).map(Decimal),
    declared_end_at=INSTANTS,
)


@given(LIVE, INSTANTS)
def test_the_stop_is_the_earliest_of_its_candidates(session: Session, funds: Any) -> None:
    forecast = next_stop(session, POLICY, FundsEnd(funds, MINE) if funds else None)
    assert forecast.stop_at == min(candidate.decided_at for candidate in forecast.candidates)
    first = forecast.candidates[0]
    assert (forecast.ends_at, forecast.reason, forecast.detail) == (first.at, first.reason, first.detail)
    assert [c.at for c in forecast.candidates] == sorted(c.at for c in forecast.candidates)


@given(LIVE)
def test_no_live_session_is_without_a_deadline(session: Session) -> None:
    stop_at = next_stop(session, POLICY).stop_at
    assert stop_at is not None
    assert stop_at <= T0 + session.plan_max_duration_seconds * SECOND


@pytest.mark.parametrize(
    ("own", "model", "limit"),
    [
        pytest.param(None, None, None, id="none"),
        pytest.param(5, None, (5, StopReason.MAX_INTERACTIONS), id="its own alone"),
        pytest.param(None, 5, (5, StopReason.MODEL_LIMIT), id="the model's alone"),
        pytest.param(5, 5, (5, StopReason.MAX_INTERACTIONS), id="its own where both are equal"),
        pytest.param(5, 4, (4, StopReason.MODEL_LIMIT), id="the lower"),
    ],
)
def test_the_number_of_interactions_that_binds(own: int, model: int, limit: object) -> None:
    assert interactions_limit(a_session(max_interactions=own, model_max_interactions=model)) == limit


@pytest.mark.parametrize(
    ("left", "warned", "known_with", "threshold"),
    [
        pytest.param(3600, None, None, 900, id="long before, the largest comes next"),
        pytest.param(900, None, None, 900, id="exactly at its instant it is due"),
        pytest.param(880, None, 3600, 900, id="it fell due between two looks"),
        pytest.param(250, None, 3600, 300, id="of several the nearest that passed"),
        pytest.param(880, None, 880, 300, id="what had passed when the stop became known is skipped"),
        pytest.param(300, None, 300, 300, id="unless it is exactly due"),
        pytest.param(280, None, 880, 300, id="one known in time is sent late"),
        pytest.param(400, None, 880, 300, id="one skipped stays skipped"),
        pytest.param(800, 900, 3600, 300, id="after the first the second"),
        pytest.param(50, 300, 3600, 60, id="the last, late"),
        pytest.param(50, 60, 3600, None, id="after the last, nothing"),
        pytest.param(30, None, 30, None, id="too short for any"),
        pytest.param(0, None, 3600, None, id="at the stop there is nothing left to warn of"),
        pytest.param(-9, None, 3600, None, id="after it even less"),
    ],
)
def test_warnings(left: int, warned: int | None, known_with: int | None, threshold: int | None) -> None:
    stop_at = T0 + HOUR
    known_at = None if known_with is None else stop_at - known_with * SECOND
    warning = next_warning(stop_at, warned, POLICY, stop_at - left * SECOND, known_at=known_at)
    expected = None if threshold is None else (stop_at - threshold * SECOND, threshold)
    assert warning == expected


def test_without_thresholds_nobody_is_warned() -> None:
    assert next_warning(T0 + HOUR, None, replace(POLICY, warn_before_stop_seconds=()), T0) is None


@pytest.mark.parametrize(
    ("session", "policy", "now", "seconds"),
    [
        pytest.param(
            a_starting_session(max_duration_seconds=3600),
            POLICY,
            T0,
            1200 + 3600,
            id="time to start and time to run",
        ),
        pytest.param(
            a_starting_session(max_duration_seconds=3600),
            POLICY,
            T0 + 2 * MINUTE,
            1080 + 3600,
            id="the start left",
        ),
        pytest.param(
            a_session(model_max_duration_seconds=60),
            POLICY,
            T0,
            1200 + 60,
            id="before its start the whole of it",
        ),
        pytest.param(
            a_starting_session(starting_at=T0 + HOUR, running_at=T0, max_duration_seconds=7200),
            POLICY,
            T0 + HOUR,
            1200 + 3600,
            id="of a moved session what is left",
        ),
        pytest.param(
            a_starting_session(running_at=T0 - DAY, max_duration_seconds=60),
            POLICY,
            T0 + HOUR,
            0,
            id="nothing left",
        ),
        pytest.param(
            a_starting_session(max_duration_seconds=1),
            Policy(start_timeout_seconds=0.5),
            T0,
            2,
            id="rounded up to whole seconds",
        ),
    ],
)
def test_what_is_asked_from_a_provider(session: Session, policy: Policy, now: Any, seconds: int) -> None:
    assert ask_duration(session, policy, ASK_SHORTEST, now) == seconds + ASK_MARGIN_SECONDS


def test_never_less_than_the_provider_sells() -> None:
    assert ask_duration(a_starting_session(max_duration_seconds=1), POLICY, 7200, T0) == 7200


@pytest.mark.parametrize(
    ("session", "reason"),
    [(a_starting_session(), StopReason.START_FAILED), (a_starting_session(running_at=T0), StopReason.DEAD)],
)
def test_without_a_place_left_it_failed_or_died(session: Session, reason: StopReason) -> None:
    assert reason_without_place(session) is reason


@pytest.mark.parametrize(
    ("session", "left", "state"),
    [
        pytest.param(a_session(), [], State.FAILED, id="nothing was placed"),
        pytest.param(a_running_session(), [PlacementState.CLOSING], State.STOPPING, id="it is being closed"),
        pytest.param(
            a_running_session(),
            [PlacementState.CLOSED, PlacementState.UNKNOWN],
            State.STOPPING,
            id="one may still be open",
        ),
        pytest.param(a_starting_session(), [PlacementState.NEVER_OPENED], State.FAILED, id="it never ran"),
        pytest.param(a_running_session(), [PlacementState.CLOSED], State.STOPPED, id="all have ended"),
    ],
)
def test_a_stop_is_over_once_nothing_may_cost_money(
    session: Session, left: list[PlacementState], state: State
) -> None:
    placements = [a_placement(state=one) for one in left]
    after = stopped(session, placements, StopReason.START_FAILED, T0, "why", T0 + MINUTE)
    over = state is not State.STOPPING
    assert (after.state, after.stopped_at, after.stop_detail) == (state, T0, "why")
    assert after.ended_at == (T0 + MINUTE if over else None)
    assert finished(after, placements, T0 + MINUTE) == after


def test_what_was_not_stopped_does_not_end() -> None:
    session = a_running_session()
    assert finished(session, [], T0) is session


@pytest.mark.parametrize(
    ("session", "used_up"),
    [
        (a_running_session(max_duration_seconds=60), True),
        (a_running_session(max_duration_seconds=61), False),
        (a_running_session(max_interactions=5, interactions=5), True),
        (a_running_session(max_interactions=5, interactions=4), False),
        (a_session(state=State.QUEUED, queue_deadline_at=T0), False),
        (a_session(state=State.QUEUED, max_interactions=1, interactions=1), True),
    ],
)
def test_a_total_that_is_used_up_would_stop_it_at_once(session: Session, used_up: bool) -> None:
    assert is_used_up(session, POLICY, T0 + MINUTE) is used_up


@pytest.mark.parametrize(
    ("session", "seconds"),
    [
        (a_running_session(), None),
        (a_running_session(declared_end_at=T0 + HOUR), 3600),
        (a_starting_session(declared_end_at=T0 + HOUR), 3000),
        (a_session(declared_end_at=T0 + HOUR), 2940),
    ],
)
def test_a_place_serves_until_its_declared_end(session: Session, seconds: int | None) -> None:
    policy = Policy(start_timeout_seconds=600)
    assert seconds_at_its_place(session, policy, T0 + MINUTE) == seconds
