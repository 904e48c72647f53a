"""What reported interactions change, and when they move the steps of a session."""

from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.events import concern_session, of_session
from orchestrator.rules.sessions.decide import plan_steps
from orchestrator.rules.sessions.pings import is_well, note_begun, note_ended
from orchestrator.rules.sessions.stops import interactions_limit, proves_use
from orchestrator.rules.sessions.uses import Use, note_success, note_use, plan_after_use
from orchestrator.rules.states import State
from orchestrator.rules.values import Policy, Session, UsedSession
from orchestrator.rules.values.copies import replace
from tests.rules.builders import POLICY, SECOND, T0, a_running_session, a_session, a_starting_session

NOW = T0 + 1_000 * SECOND
DAY = timedelta(days=1)
OK = Use(1, True, None, None)


def narrow(session: Session) -> UsedSession:
    """Return the fields of the session that its use depends on."""
    return UsedSession(**{field.name: getattr(session, field.name) for field in fields(UsedSession)})


def planned(session: Session, at: datetime = T0) -> Session:
    return plan_steps(session, POLICY, at, ping_at=session.ping_at)


def used(session: Session, use: Use = OK, now: datetime = NOW) -> Session:
    return plan_after_use(session, note_use(session, use, POLICY, now), POLICY, now)


@pytest.mark.parametrize("state", [State.STOPPING, State.STOPPED])
def test_what_is_over_only_counts(state: State) -> None:
    session = a_session(state=state, under_way=(T0,), idle_seconds=60)
    assert used(session, Use(3, True, T0, NOW)) == replace(session, interactions=3, under_way=())


def test_a_plain_success_moves_the_next_ping_and_nothing_else_of_the_plan() -> None:
    session = planned(a_running_session(ping_at=NOW + SECOND))
    after = used(session)
    assert (after.interactions, after.last_interaction_at, after.last_alive_at) == (1, NOW, NOW)
    assert after.due is not None
    assert after.ping_at == after.due.at == NOW + POLICY.ping_interval_seconds * SECOND
    assert (after.stop_at, after.warn_at) == (session.stop_at, session.warn_at)


def test_a_success_ends_the_doubts_that_pings_have_raised() -> None:
    session = planned(a_running_session(ping_at=NOW + SECOND, failures=2))
    after = used(session)
    assert (after.failures, after.last_alive_at) == (0, NOW)


def test_a_failed_interaction_leaves_the_next_ping() -> None:
    session = planned(a_running_session(ping_at=NOW + SECOND))
    after = used(session, Use(2, False, None, None))
    assert after == replace(session, interactions=2, last_interaction_at=NOW)


def test_use_moves_the_idle_stop() -> None:
    session = planned(a_running_session(idle_seconds=2_000))
    assert used(session).ends_at == NOW + 2_000 * SECOND


def test_an_interaction_under_way_is_use_and_not_counted() -> None:
    session = planned(a_running_session(idle_seconds=2_000))
    after = used(session, Use(1, True, NOW - SECOND, None))
    assert (after.interactions, after.under_way, after.last_interaction_at) == (
        0,
        (NOW - SECOND,),
        NOW - SECOND,
    )
    assert used(after, Use(1, True, NOW - SECOND, None)) is after
    ended = used(after, Use(1, True, NOW - SECOND, NOW))
    assert (ended.interactions, ended.under_way) == (1, ())


def test_an_interaction_under_way_after_the_idle_end_proves_nothing() -> None:
    session = planned(a_running_session(idle_seconds=60))
    assert note_use(session, Use(1, True, NOW, None), POLICY, NOW) is session
    starting = planned(a_starting_session())
    assert note_use(starting, Use(1, True, NOW, None), POLICY, NOW) is starting


def test_a_limit_that_is_reached_stops_at_once() -> None:
    session = planned(a_running_session(max_interactions=3, interactions=1))
    assert used(session).limit_reached_at is None
    assert used(session, Use(2, True, None, None)).stop_at == NOW


INSTANTS = st.integers(0, 2_000).map(lambda n: T0 + n * SECOND)
MAYBE = st.none() | INSTANTS
LIMITS = st.none() | st.integers(1, 50)
SECONDS = st.none() | st.integers(1, 4_000)


def _any(state: State, running_at: datetime | None, since: datetime, **changes: Any) -> Session:
    """Return a session in this state; one that runs has run since then at the latest."""
    if state is not State.RUNNING:
        return a_session(state=state, starting_at=T0, running_at=running_at, **changes)
    began = running_at or since
    running_since = max(since, began)
    return a_running_session(running_at=began, running_since=running_since, **changes)


ANY = st.builds(
    _any,
    st.sampled_from([State.STARTING, State.RUNNING, State.RUNNING, State.STOPPING, State.STOPPED]),
    running_at=MAYBE,
    since=INSTANTS,
    max_duration_seconds=SECONDS,
    model_max_duration_seconds=SECONDS,
    plan_max_duration_seconds=st.integers(1, 10**5),
    max_interactions=LIMITS,
    model_max_interactions=LIMITS,
    interactions=st.integers(0, 60),
    limit_reached_at=MAYBE,
    idle_seconds=SECONDS,
    last_interaction_at=MAYBE,
    under_way=st.lists(INSTANTS, max_size=3).map(tuple),
    max_cost=st.none() | st.integers(0, 100).map(Decimal),
    declared_end_at=MAYBE,
    warned_seconds=st.none() | st.sampled_from([60, 300, 3_600]),
    ping_at=MAYBE,
    last_alive_at=MAYBE,
    failures=st.sampled_from([0, 0, 0, 2]),
    failing_since=MAYBE,
    gone_since=st.none() | MAYBE,
    loading_since=st.none() | MAYBE,
    unusable_since=st.none() | MAYBE,
    busy_since=st.none() | MAYBE,
    busy_warned_at=MAYBE,
    not_well_since=st.none() | MAYBE,
    held_since=st.none() | MAYBE,
)
USES = st.builds(Use, st.integers(1, 40), st.booleans(), MAYBE, MAYBE)
POLICIES = st.builds(
    Policy,
    warn_before_stop_seconds=st.sampled_from([(), (60,), (3_600, 300, 60)]),
    idle_grace_seconds=st.sampled_from([0, 30]),
)


@given(ANY, st.lists(USES, min_size=1, max_size=4), POLICIES, INSTANTS, INSTANTS)
def test_narrow_or_whole_a_session_is_used_alike_and_planned_as_if_anew(
    session: Session, uses: list[Use], policy: Policy, planned_at: datetime, now: datetime
) -> None:
    """The steps of `session` were planned when something changed them last: at `planned_at`."""
    live = session.state in {State.STARTING, State.RUNNING}
    before = plan_steps(session, policy, min(planned_at, now), ping_at=session.ping_at) if live else session
    whole, few, literal = before, narrow(before), before
    for use in uses:
        whole, few = note_use(whole, use, policy, now), note_use(few, use, policy, now)
        literal = _as_literally_said(literal, use, policy, now)
    assert literal == whole
    assert (whole is before) is (few == narrow(before))
    after = before if whole is before else plan_after_use(before, whole, policy, now)
    few_after = few if whole is before else plan_after_use(narrow(before), few, policy, now)
    assert narrow(after) == few_after
    moved = live and literal != before
    assert after == (plan_steps(literal, policy, now, ping_at=literal.ping_at) if moved else literal)
    assert concern_session(narrow(before), few_after) is bool(of_session(before, after))


def _as_literally_said(session: Session, use: Use, policy: Policy, now: datetime) -> Session:
    """Do what `note_use` does, one thing after the other."""
    live, began = session.state in {State.STARTING, State.RUNNING}, min(use.began or use.ended or now, now)
    proves, at = proves_use(session, policy, began), min(use.ended or now, now)
    if use.began is not None and use.ended is None:
        if session.state is not State.RUNNING or not proves:
            return session
        session = replace(session, last_interaction_at=max(began, session.last_interaction_at or began))
        return note_begun(session, began, policy, now)
    limit, total = interactions_limit(session), session.interactions + use.count
    changes: dict[str, Any] = {"interactions": total}
    if live and proves:
        changes["last_interaction_at"] = max(at, session.last_interaction_at or at)
    if live and limit is not None and session.interactions < limit[0] <= total:
        changes["limit_reached_at"] = now
    session = replace(session if use.began is None else note_ended(session, use.began), **changes)
    if not use.ok or session.running_since is None or at < session.running_since:
        return session
    session = note_success(session, at)
    if not is_well(session) or session.ping_at is None or session.last_alive_at is None:
        return session
    spared = session.last_alive_at + timedelta(seconds=policy.ping_interval_seconds)
    return replace(session, ping_at=max(session.ping_at, spared))


@pytest.mark.parametrize("session", [a_starting_session(), planned(a_running_session(idle_seconds=60))])
def test_the_narrow_fields_say_the_same_of_its_run_and_of_its_end(session: Session) -> None:
    assert (narrow(session).ever_ran, narrow(session).ends_at) == (session.ever_ran, session.ends_at)
