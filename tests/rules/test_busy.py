"""Busy is not dead: the meaning of a ping without an answer, and for how long."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules import events
from orchestrator.rules.sessions.decide import (
    Decision,
    Ping,
    PingAgain,
    Stop,
    after_ping,
    note_ping,
    without_doubts,
)
from orchestrator.rules.sessions.pings import (
    MOST_UNDER_WAY,
    Silence,
    may_be_the_last,
    may_hang,
    note_begun,
    note_ended,
    under_way_until,
)
from orchestrator.rules.sessions.stops import next_stop
from orchestrator.rules.sessions.uses import note_success, ping_not_needed_until
from orchestrator.rules.states import StopReason
from orchestrator.rules.values import Session, Verdict
from tests.rules.builders import MINUTE, POLICY, SECOND, T0, a_running_session, a_starting_session

NOW = T0 + 10 * MINUTE
ANSWERS = Silence("models answers")
NOTHING = Silence(None)


def unanswered(silence: Silence | None) -> Ping:
    return Ping(Verdict.TRANSIENT, 30_000, "no answer within 30 s", silence=silence)


def pinged(session: Session, *pings: Ping, every: timedelta = 30 * SECOND) -> tuple[Session, Decision]:
    """Return the session after these pings, the first one interval after NOW."""
    at = NOW
    for ping in pings:
        at += every
        session = note_ping(session, ping, POLICY, at)
    return session, after_ping(session, POLICY, at)


def under_way(began: datetime) -> Session:
    return note_begun(a_running_session(running_since=T0), began, POLICY, NOW)


@pytest.mark.parametrize(
    ("session", "silence", "busy"),
    [
        pytest.param(a_running_session(), ANSWERS, True, id="another path answers"),
        pytest.param(a_running_session(), NOTHING, False, id="nothing answers there"),
        pytest.param(a_running_session(), None, False, id="it was refused, or the connection broke"),
        pytest.param(under_way(NOW), NOTHING, True, id="an interaction is under way"),
        pytest.param(under_way(NOW), None, False, id="under way, and refused"),
        pytest.param(under_way(NOW - 31 * MINUTE), NOTHING, False, id="under way for too long"),
        pytest.param(
            under_way(NOW - 25 * MINUTE), NOTHING, False, id="under way in the time before it ran here"
        ),
        pytest.param(a_starting_session(), ANSWERS, False, id="it has not begun to run"),
    ],
)
def test_what_shows_that_a_server_is_busy(session: Session, silence: Silence | None, busy: bool) -> None:
    noted, _ = pinged(session, unanswered(silence))
    assert (noted.busy_since is not None, noted.failures) == (busy, 0 if busy else 1)
    assert noted.last_verdict is Verdict.TRANSIENT
    assert ("busy: " in (noted.last_ping_detail or "")) is busy


@pytest.mark.parametrize("silence", [ANSWERS, NOTHING, None])
def test_a_session_that_did_not_answer_may_hang_until_it_answers(silence: Silence | None) -> None:
    noted, _ = pinged(a_running_session(), unanswered(silence))
    assert may_hang(noted)
    well, _ = pinged(noted, Ping(Verdict.ALIVE, 20, ""))
    assert not may_hang(well)


def test_a_busy_session_is_pinged_slower_and_not_stopped() -> None:
    noted, decision = pinged(a_running_session(), *[unanswered(ANSWERS)] * 50)
    assert decision == PingAgain(NOW + 50 * 30 * SECOND + 60 * SECOND)
    assert ping_not_needed_until(noted, NOW, POLICY) is None


def test_a_busy_session_is_dead_after_its_time() -> None:
    every = 30 * MINUTE
    busy, decision = pinged(a_running_session(), unanswered(ANSWERS), unanswered(ANSWERS), every=every)
    detail = "busy for 1800 s without an answer, the last: no answer within 30 s; busy: models answers"
    assert decision == Stop(StopReason.DEAD, detail)
    assert may_be_the_last(busy, unanswered(ANSWERS), POLICY, NOW + 2 * every)
    assert not may_be_the_last(a_running_session(failures=2), unanswered(ANSWERS), POLICY, NOW)


@pytest.mark.parametrize("verdict", [Verdict.ALIVE, Verdict.THROTTLED])
def test_an_answer_ends_it(verdict: Verdict) -> None:
    noted, _ = pinged(a_running_session(), unanswered(ANSWERS), Ping(verdict, 7))
    assert (noted.busy_since, noted.busy_warned_at) == (None, None)


def test_a_reported_success_ends_it_unless_it_is_older() -> None:
    noted, _ = pinged(a_running_session(), unanswered(ANSWERS))
    assert note_success(noted, NOW).busy_since == NOW + 30 * SECOND
    assert note_success(noted, NOW + 30 * SECOND).busy_since is None
    assert without_doubts(noted).busy_since is None


def test_killed_while_busy_is_dead_in_time() -> None:
    refused = Ping(Verdict.TRANSIENT, 1, "could not connect")
    noted, decision = pinged(a_running_session(), *[unanswered(ANSWERS)] * 3, *[refused] * 3)
    assert noted.failures == 3
    assert isinstance(decision, Stop)
    assert decision.detail.startswith("3 failed pings in a row over 60 s")


def test_it_is_worth_one_event_after_its_time() -> None:
    session = a_running_session()
    kinds: list[str] = []
    for n in range(20):
        noted = note_ping(session, unanswered(ANSWERS), POLICY, NOW + n * 30 * SECOND)
        made = events.of_session(session, noted)
        kinds += [event.type for event in made]
        if made:
            assert made[0].data["busy_since"] == events.rfc3339(NOW)
            assert n * 30 == POLICY.busy_warn_after_seconds
        session = noted
    assert kinds == ["orchestrator.session.busy"]


# interactions under way


def test_an_interaction_under_way_keeps_idle_away_until_its_end() -> None:
    session = a_running_session(idle_seconds=300, running_at=T0, running_since=T0, last_interaction_at=T0)
    began = note_begun(session, NOW, POLICY, NOW)
    assert next_stop(began, POLICY).ends_at == NOW + 35 * MINUTE
    ended = replace(note_ended(began, NOW), last_interaction_at=NOW + MINUTE)
    assert next_stop(ended, POLICY).ends_at == NOW + 6 * MINUTE
    assert under_way_until(ended, POLICY) is None


def test_one_that_ends_leaves_the_others() -> None:
    session = note_begun(under_way(NOW - MINUTE), NOW, POLICY, NOW)
    assert note_ended(session, NOW).under_way == (NOW - MINUTE,)
    assert note_ended(session, NOW + MINUTE) == session


def test_what_counts_no_more_is_forgotten_and_so_is_the_oldest_of_many() -> None:
    old = replace(a_running_session(), under_way=(NOW - 31 * MINUTE,))
    assert note_begun(old, NOW, POLICY, NOW).under_way == (NOW,)
    session = a_running_session()
    for n in range(MOST_UNDER_WAY + 5):
        session = note_begun(session, NOW - n * SECOND, POLICY, NOW)
    assert len(session.under_way) == MOST_UNDER_WAY
    assert session.under_way[-1] == NOW


PINGS = st.sampled_from(
    [
        *(Ping(verdict, 7, "no") for verdict in Verdict),
        unanswered(ANSWERS),
        unanswered(NOTHING),
    ]
)


@given(st.lists(PINGS, min_size=1, max_size=40), st.integers(1, 400))
def test_only_failures_in_a_row_are_a_streak_and_none_of_them_is_busy(
    pings: list[Ping], seconds: int
) -> None:
    session: Any = a_running_session()
    for n, ping in enumerate(pings, start=1):
        now = NOW + n * seconds * SECOND
        session = note_ping(session, ping, POLICY, now)
        if isinstance(after_ping(session, POLICY, now), Stop):
            busy_long = session.busy_since and (now - session.busy_since).total_seconds() >= 1800
            last = pings[max(0, n - 3) : n]
            assert busy_long or not any(one.silence == ANSWERS for one in last[-1:])
            return
        if ping.silence == ANSWERS:  # other verdicts have bounds of their own
            assert session.busy_since is not None
            assert (now - session.busy_since).total_seconds() < 1800


@given(
    st.lists(
        PINGS.filter(lambda ping: ping.verdict not in (Verdict.ALIVE, Verdict.THROTTLED)),
        min_size=1,
        max_size=6,
    )
)
def test_no_pattern_without_a_sign_of_life_goes_on_for_ever(pattern: list[Ping]) -> None:
    session = a_running_session()
    for n in range(400):
        now = NOW + n * 30 * SECOND
        session = note_ping(session, pattern[n % len(pattern)], POLICY, now)
        if isinstance(after_ping(session, POLICY, now), Stop):
            return
    raise AssertionError("it goes on")
