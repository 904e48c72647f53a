"""When is the provider at fault, and not its sessions? And when is that over?"""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.sessions.pings import Ping, only_failed
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.upstream.brake import (
    MANY,
    Health,
    Recovery,
    Sign,
    after_failed_ping,
    held_by,
    is_at_fault,
    is_confirmed,
    is_forgotten,
    is_holding,
    is_lost,
    judged_since,
    may_move,
    paid_until,
    sign_of,
    slowed_where_held,
    takes_effect_at,
    why_at_fault,
    why_over,
    window,
)
from orchestrator.rules.values import Brake, Policy, Session, Verdict
from tests.rules.builders import MINUTE, SECOND, T0, a_placement, a_running_session, a_starting_session

counts = st.integers(0, 12)


@pytest.mark.parametrize(
    ("well", "doubtful", "died", "expected"),
    [
        pytest.param(0, 0, 0, False, id="nothing runs"),
        pytest.param(0, 1, 0, False, id="one alone may just be dead"),
        pytest.param(0, 0, 1, False, id="one alone that died"),
        pytest.param(0, 0, 6, False, id="many died, and none is in doubt"),
        pytest.param(1, 1, 0, False, id="one of two"),
        pytest.param(0, 2, 0, True, id="both"),
        pytest.param(0, 1, 1, True, id="both, one of them dead already"),
        pytest.param(1, 3, 0, False, id="three of four"),
        pytest.param(0, 4, 0, True, id="all four"),
        pytest.param(3, 3, 0, False, id="half of six"),
        pytest.param(2, 4, 0, True, id="more than half of six"),
        pytest.param(3, 2, 1, False, id="half of six, one dead"),
        pytest.param(2, 3, 1, True, id="more than half of six, one dead"),
        pytest.param(499, 501, 0, True, id="more than half of many"),
        pytest.param(0, 256, 0, True, id="of a thousand that hang, those with a ping that has ended"),
    ],
)
def test_is_the_provider_at_fault(well: int, doubtful: int, died: int, expected: bool) -> None:
    assert is_at_fault(Health(well=well, doubtful=doubtful, died=died), 2) is expected


@given(counts, counts, counts, st.integers(1, 5))
def test_one_more_that_answers_never_puts_a_provider_at_fault(
    well: int, doubtful: int, died: int, smallest: int
) -> None:
    health = Health(well=well, doubtful=doubtful, died=died)
    more = replace(health, well=well + 1)
    if is_at_fault(more, smallest) and not is_at_fault(health, smallest):
        assert health.seen == MANY - 1, "of a few, all must be ill; of many, more than half"


def test_the_smallest_number_is_the_operators() -> None:
    both = Health(well=0, doubtful=2, died=0)
    assert is_at_fault(both, 2)
    assert not is_at_fault(both, 3)
    assert is_at_fault(Health(well=0, doubtful=1, died=0), 1)


@pytest.mark.parametrize(
    ("recovered", "doubtful", "running", "answers", "over"),
    [
        pytest.param(1, 5, 10, True, False, id="one of three is too few"),
        pytest.param(3, 3, 10, True, True, id="as many as are wanted"),
        pytest.param(3, 97, 100, True, True, id="as many as are wanted, of many"),
        pytest.param(2, 2, 10, True, True, id="as many as are still in doubt"),
        pytest.param(0, 0, 10, False, True, id="none is in doubt"),
        pytest.param(0, 0, 0, False, True, id="none is left"),
        pytest.param(0, 1, 2, True, True, id="of a few, one answers"),
        pytest.param(0, 4, 4, False, False, id="of a few, none answers"),
        pytest.param(0, 6, 10, True, False, id="those of many that were never ill prove nothing"),
    ],
)
def test_when_a_brake_is_over(recovered: int, doubtful: int, running: int, answers: bool, over: bool) -> None:
    seen = Recovery(recovered=recovered, doubtful=doubtful, running=min(running, MANY), answers=answers)
    assert (why_over(seen, 3) is not None) is over


@pytest.mark.parametrize(
    ("under_way", "arrived", "may"), [(0, 0, True), (2, 0, True), (3, 0, False), (3, 3, False), (9, 10, True)]
)
def test_a_few_leave_first_and_more_once_these_run(under_way: int, arrived: int, may: bool) -> None:
    assert may_move(under_way, arrived) is may


def _brake(**known: object) -> Brake:
    held = Brake(
        scope="provider:p", provider="p", credential=None, since=T0, until=T0 + 30 * MINUTE, reason="6 of 10"
    )
    return replace(held, **known)  # type: ignore[arg-type]


def test_it_holds_until_its_time_is_over_whoever_looks() -> None:
    assert is_holding(_brake(), T0 + 29 * MINUTE)
    assert not is_holding(_brake(), T0 + 30 * MINUTE)
    assert not is_holding(_brake(expired_at=T0 + MINUTE), T0 + 2 * MINUTE)


def test_who_was_in_doubt_when_it_expired_is_held_no_more() -> None:
    now = T0 + 40 * MINUTE
    expired = _brake()
    anew = _brake(scope="credential:p:k", credential="k", since=T0 + 35 * MINUTE, until=T0 + 65 * MINUTE)
    old = a_running_session(failures=9, failing_since=T0 + MINUTE)
    young = a_running_session(failures=2, failing_since=T0 + 34 * MINUTE)
    assert judged_since([expired, anew], now) == T0 + 30 * MINUTE
    assert held_by([expired, anew], old, now) is None
    assert held_by([expired, anew], young, now) == anew
    assert held_by([expired], young, now) is None
    assert held_by([anew], old, now) == anew


@pytest.mark.parametrize(
    ("brake", "minutes", "doubted", "answered", "forgotten"),
    [
        pytest.param({}, 40, False, True, False, id="it was not seen to expire"),
        pytest.param({"expired_at": T0 + 30 * MINUTE}, 40, True, True, False, id="one is still to be judged"),
        pytest.param({"expired_at": T0 + 30 * MINUTE}, 40, False, True, True, id="one there answered"),
        pytest.param({"expired_at": T0 + 30 * MINUTE}, 40, False, False, False, id="none answered yet"),
        pytest.param({"expired_at": T0 + 30 * MINUTE}, 60, False, False, True, id="none answered for long"),
    ],
)
def test_when_a_hold_that_expired_is_forgotten(
    brake: dict[str, object], minutes: int, doubted: bool, answered: bool, forgotten: bool
) -> None:
    now = T0 + minutes * MINUTE
    assert is_forgotten(_brake(**brake), Policy(), now, doubted=doubted, answered=answered) is forgotten


def test_only_who_is_in_doubt_is_slowed_down_by_a_brake() -> None:
    """A busy session failed no ping: it is pinged as before, and pays as before."""
    ill = a_running_session(failures=1, failing_since=T0, ping_at=T0 + SECOND)
    busy = a_running_session(busy_since=T0, ping_at=T0 + SECOND)
    slow = slowed_where_held(ill, [_brake()], Policy(), T0 + SECOND)
    assert (slow.ping_at, slow.held_since) == (T0 + 61 * SECOND, T0 + SECOND)
    assert slowed_where_held(slow, [_brake()], Policy(), T0 + MINUTE).held_since == T0 + SECOND
    assert slowed_where_held(busy, [_brake()], Policy(), T0 + SECOND) == busy
    assert slowed_where_held(ill, [], Policy(), T0 + SECOND) == ill


@pytest.mark.parametrize(
    ("verdict", "platform_says", "own_key", "confirmed"),
    [
        (Verdict.TRANSIENT, True, False, True),
        (Verdict.GONE, False, True, True),
        (Verdict.GONE, False, False, False),
        (Verdict.TRANSIENT, False, True, False),
    ],
)
def test_what_confirms_a_death(verdict: Verdict, platform_says: bool, own_key: bool, confirmed: bool) -> None:
    session = a_running_session(last_verdict=verdict)
    assert is_confirmed(session, platform_says=platform_says, own_key=own_key) is confirmed


def test_after_a_hold_a_death_costs_nothing_beyond_the_last_proof_of_life() -> None:
    now = T0 + 40 * MINUTE
    session = a_running_session(last_alive_at=T0 + MINUTE)
    assert paid_until(session, now) == now
    assert paid_until(replace(session, held_since=T0 + 2 * MINUTE), now) == T0 + MINUTE


def test_each_running_session_is_pinged_within_the_window() -> None:
    assert window(Policy()) == timedelta(seconds=66)
    assert window(Policy(brake_window_seconds=300)) == timedelta(seconds=300)
    assert window(Policy(ping_interval_seconds=600)) == timedelta(seconds=750)


@pytest.mark.parametrize(
    ("health", "why"),
    [
        (Health(well=5, doubtful=1, died=0), None),
        (Health(well=1, doubtful=4, died=0), "4 sessions in doubt, answering: 1"),
        (Health(well=0, doubtful=1, died=2), "1 session in doubt, 2 died within 120 s, answering: 0"),
    ],
)
def test_a_brake_says_why_it_begins(health: Health, why: str | None) -> None:
    assert why_at_fault(health, Policy(brake_min_sessions=2, brake_window_seconds=120)) == why


FAILED = Ping(Verdict.TRANSIENT, 7, "503")


@pytest.mark.parametrize(
    ("session", "ping", "alone"),
    [
        pytest.param(a_running_session(), FAILED, True, id="it failed"),
        pytest.param(a_starting_session(), FAILED, False, id="it may be cold"),
        pytest.param(a_running_session(), Ping(Verdict.GONE, 7), False, id="it is gone"),
        pytest.param(a_running_session(), replace(FAILED, ended="stopped"), False, id="it has ended"),
    ],
)
def test_which_failed_pings_can_be_settled_together(session: Session, ping: Ping, alone: bool) -> None:
    assert only_failed(session, a_placement(), ping) is alone


@pytest.mark.parametrize("braked", [False, True])
def test_after_a_failed_ping_comes_the_next_one_later_where_a_brake_holds(braked: bool) -> None:
    policy, now = Policy(dead_after_failures=3, ping_interval_seconds=30), T0 + SECOND
    session = a_running_session()
    brake = Brake(scope="alpha", provider="alpha", credential=None, since=T0, until=T0 + MINUTE, reason="ill")
    after = after_failed_ping(session, FAILED, [brake] if braked else [], policy, now, 0)
    assert after is not None
    assert (after.failures, after.lease) == (1, None)
    assert after.ping_at == now + (60 if braked else 1) * SECOND
    assert after.held_since == (now if braked else None)


def test_a_failed_ping_that_ends_its_session_is_settled_apart() -> None:
    policy = Policy(dead_after_failures=1, dead_after_seconds=0)
    assert after_failed_ping(a_running_session(), FAILED, [], policy, T0, 0) is None


@pytest.mark.parametrize(
    ("before", "after", "sign"),
    [
        pytest.param({}, {}, None, id="it sleeps"),
        pytest.param({}, {"last_ping_at": T0, "failing_since": T0}, Sign.ILL, id="it falls ill"),
        pytest.param({"gone_since": T0}, {"last_ping_at": T0}, Sign.RECOVERED, id="it recovers"),
        pytest.param({}, {"last_ping_at": T0}, None, id="it is well"),
        pytest.param(
            {}, {"last_ping_at": T0, "failing_since": T0, "state": State.STARTING}, None, id="it starts"
        ),
    ],
)
def test_what_a_ping_shows_about_its_provider(
    before: dict[str, object], after: dict[str, object], sign: Sign | None
) -> None:
    assert sign_of(a_running_session(**before), a_running_session(**after)) is sign


@pytest.mark.parametrize(
    ("reason", "confirmed", "lost", "at"),
    [
        (StopReason.DEAD, False, True, T0 - MINUTE),
        (StopReason.DEAD, True, False, T0 - MINUTE),
        (StopReason.PROVIDER_ENDED, False, False, T0),
    ],
)
def test_only_a_death_may_be_held_and_ends_with_the_last_proof_of_life(
    reason: StopReason, confirmed: bool, lost: bool, at: datetime
) -> None:
    session = a_running_session(held_since=T0 - SECOND, last_alive_at=T0 - MINUTE)
    assert is_lost(reason, confirmed=confirmed) is lost
    assert takes_effect_at(session, reason, T0) == at
