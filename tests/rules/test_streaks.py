"""Streaks and doubts over any sequence of verdicts: no early death, and no life without end."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.sessions.decide import (
    GiveUp,
    NoChange,
    Ping,
    PingAgain,
    Stop,
    after_answer,
    after_ping,
    note_ping,
)
from orchestrator.rules.sessions.pings import (
    Silence,
    answered_last,
    is_plain,
    is_well,
    may_be_the_last,
    without_doubts,
)
from orchestrator.rules.sessions.uses import note_success
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.upstream.brake import is_held_too_long
from orchestrator.rules.values import Session, Verdict
from orchestrator.rules.values.doubts import doubted_since, is_in_doubt
from tests.rules.builders import POLICY, SECOND, T0, a_placement, a_running_session, a_starting_session

V = Verdict
LIFELESS = [verdict for verdict in Verdict if verdict is not V.ALIVE]
#: A session that fails every ping is over by then: the longest that one kind is allowed.
BOUND = timedelta(seconds=max(POLICY.throttled_after_seconds, POLICY.start_timeout_seconds))


def live(session: Session, verdicts: list[Verdict], every: timedelta) -> tuple[list[Verdict], Stop | None]:
    """Ping with one verdict after the other until the session ends; return the verdicts that were used, and the end."""
    used: list[Verdict] = []
    for n, verdict in enumerate(verdicts, start=1):
        now = T0 + n * every
        session = note_ping(session, Ping(verdict, 7, "no"), POLICY, now)
        assert session.last_verdict is not None
        used.append(session.last_verdict)
        decision = after_ping(session, POLICY, now)
        if not isinstance(decision, PingAgain):
            assert isinstance(decision, Stop)
            return used, decision
    return used, None


@given(st.lists(st.sampled_from(Verdict), max_size=40), st.integers(1, 400))
def test_a_streak_is_broken_by_every_other_verdict(verdicts: list[Verdict], seconds: int) -> None:
    used, end = live(a_running_session(), verdicts, seconds * SECOND)
    if end is not None and "failed pings in a row" in end.detail:
        last = used[-POLICY.dead_after_failures :]
        assert last == [V.TRANSIENT] * POLICY.dead_after_failures


def test_a_doubt_is_as_old_as_its_first_sign() -> None:
    assert doubted_since(a_running_session()) is None
    assert doubted_since(a_running_session(failing_since=T0 + SECOND, gone_since=T0)) == T0


@given(st.lists(st.sampled_from([*Verdict, None]), max_size=12), st.lists(st.integers(0, 12), max_size=12))
def test_whoever_fails_pings_knows_since_when(heard: list[Verdict | None], ages: list[int]) -> None:
    """None: a success is reported. The rule asks for the time, the query and its index for the number."""
    session = a_running_session()
    for n, verdict in enumerate(heard, start=1):
        now = T0 + n * SECOND
        if verdict is None:
            session = note_success(session, now - (ages[n - 1] if n <= len(ages) else 0) * SECOND)
        else:
            session = note_ping(session, Ping(verdict, 7, "no"), POLICY, now)
        assert (session.failures > 0) == (session.failing_since is not None)
        assert is_in_doubt(session) == (session.failures > 0 or session.gone_since is not None)
    assert without_doubts(session).failing_since is None
    assert not is_in_doubt(without_doubts(session))


@pytest.mark.parametrize(
    ("heard", "good"),
    [
        ({}, True),
        ({"last_verdict": V.ALIVE, "last_ping_at": T0}, True),
        ({"last_verdict": V.THROTTLED, "last_ping_at": T0}, False),
        ({"last_verdict": V.THROTTLED, "last_ping_at": T0, "last_alive_at": T0 + SECOND}, True),
        ({"last_verdict": V.THROTTLED, "last_ping_at": T0, "last_alive_at": T0 - SECOND}, False),
        ({"last_verdict": V.ALIVE, "last_ping_at": T0, "failures": 1}, False),
        ({"last_verdict": V.ALIVE, "last_ping_at": T0, "not_well_since": T0}, False),
    ],
)
def test_what_was_last_heard_is_good_or_not(heard: dict[str, Any], good: bool) -> None:
    assert answered_last(a_running_session(**({"last_verdict": None, "last_ping_at": None} | heard))) is good


@given(st.sampled_from([v for v in Verdict if v is not V.TRANSIENT]), st.integers(3, 50))
def test_one_failure_after_another_verdict_is_the_first(verdict: Verdict, failures: int) -> None:
    session = a_running_session(failures=failures, failing_since=T0 - timedelta(hours=1))
    session = replace(session, last_ping_at=T0)
    verdicts = [verdict, V.TRANSIENT]
    for n, said in enumerate(verdicts, start=1):
        session = note_ping(session, Ping(said, 7, "no"), POLICY, T0 + n * SECOND)
    assert (session.failures, session.failing_since) == (1, T0 + 2 * SECOND)


@given(st.lists(st.sampled_from(LIFELESS), min_size=1, max_size=6))
def test_no_pattern_without_a_sign_of_life_goes_on_for_ever(pattern: list[Verdict]) -> None:
    every = 30 * SECOND
    pings = int(BOUND / every) + 1 + POLICY.dead_after_failures
    repeated = (pattern * pings)[:pings]
    _, end = live(a_running_session(), repeated, every)
    assert end is not None


@pytest.mark.parametrize(
    "pattern",
    [
        (V.LOADING, V.CREDENTIALS),
        (V.LOADING, V.MISCONFIGURED),
        (V.GONE, V.LOADING),
        (V.GONE, V.CREDENTIALS),
        (V.OUT_OF_BALANCE, V.LOADING, V.THROTTLED),
    ],
)
def test_verdicts_that_take_turns_end_within_the_one_bound(pattern: tuple[Verdict, ...]) -> None:
    used, end = live(a_running_session(), list(pattern) * 60, 30 * SECOND)
    assert end is not None
    assert end.reason is StopReason.DEAD
    within = POLICY.unusable_after_seconds / 30
    assert within <= len(used) <= within + len(pattern)


@given(st.lists(st.sampled_from(LIFELESS), max_size=29))
def test_a_proof_of_life_begins_the_bound_anew(verdicts: list[Verdict]) -> None:
    """However long it was in doubt before."""
    session = a_running_session(not_well_since=T0 - timedelta(hours=9))
    well = note_ping(session, Ping(V.ALIVE, 7, ""), POLICY, T0)
    assert well.not_well_since is None
    _, end = live(well, [one for one in verdicts if one not in (V.TRANSIENT, V.GONE)], 30 * SECOND)
    assert end is None


def test_throttled_alone_has_a_longer_bound() -> None:
    used, end = live(a_running_session(), [V.THROTTLED] * 200, 30 * SECOND)
    assert end is not None
    assert len(used) == POLICY.throttled_after_seconds / 30 + 1
    assert end.detail.startswith("no proof of life for 3600 s, the last answer: THROTTLED")


def test_a_failed_ping_is_judged_by_its_streak_alone() -> None:
    """After half an hour of "too many requests" one failure is no death."""
    session = a_running_session(not_well_since=T0 - timedelta(minutes=30))
    noted = note_ping(session, Ping(V.TRANSIENT, 7, "503"), POLICY, T0)
    assert isinstance(after_ping(noted, POLICY, T0), PingAgain)


@pytest.mark.parametrize(("hours", "last"), [(0.5, False), (1, True)])
def test_the_platform_is_asked_before_the_bound_ends_a_session(hours: float, last: bool) -> None:
    session = a_running_session(not_well_since=T0 - timedelta(hours=hours))
    assert may_be_the_last(session, Ping(V.THROTTLED, 7, "429"), POLICY, T0) is last


HELD = {"held_since": T0 - timedelta(hours=1)}


@pytest.mark.parametrize(
    ("verdict", "seconds"),
    [
        (V.CREDENTIALS, POLICY.unusable_after_seconds),
        (V.THROTTLED, POLICY.throttled_after_seconds),
        (V.TRANSIENT, max(POLICY.throttled_after_seconds, POLICY.start_timeout_seconds)),
    ],
)
def test_who_was_held_by_brakes_is_allowed_one_hold_more(verdict: Verdict, seconds: float) -> None:
    """However many holds there were, and whatever streak started over with the last of them."""
    bound = timedelta(seconds=seconds + POLICY.brake_max_seconds)
    for since, is_over in ((T0 - bound + SECOND, False), (T0 - bound, True)):
        session = a_running_session(not_well_since=since, **HELD)
        noted = note_ping(session, Ping(verdict, 7, "no"), POLICY, T0)
        assert isinstance(after_ping(noted, POLICY, T0), Stop) is is_over
        assert is_held_too_long(noted, POLICY, T0) is is_over
        assert not is_held_too_long(replace(noted, held_since=None), POLICY, T0 - bound)


def test_a_busy_session_is_judged_by_how_long_it_is_busy_though_it_was_held() -> None:
    session = a_running_session(not_well_since=T0 - timedelta(days=1), **HELD)
    noted = note_ping(session, Ping(V.TRANSIENT, 7, "", silence=Silence("/health")), POLICY, T0)
    assert isinstance(after_ping(noted, POLICY, T0), PingAgain)


def test_who_was_held_is_well_once_a_ping_says_so() -> None:
    """Good pings of healthy sessions are written in bulk, which ends no hold."""
    session = a_running_session(**HELD)
    assert not is_well(session)
    assert is_well(note_ping(session, Ping(V.ALIVE, 7, ""), POLICY, T0))


@pytest.mark.parametrize(
    ("said", "placement", "plain"),
    [
        pytest.param({}, {}, True, id="an answer"),
        pytest.param({"lives": "ACTIVE", "expired": True}, {}, True, id="of the session alone"),
        pytest.param({"variant": "b"}, {"ping_variant": "b"}, True, id="in the known form"),
        pytest.param({"variant": "b"}, {"ping_variant": "a"}, False, id="in another form"),
        pytest.param({"variant": "b"}, {}, False, id="in the first form that works"),
        pytest.param({"asleep": True}, {}, False, id="it sleeps"),
        pytest.param({}, {"asleep_since": T0}, False, id="it woke up"),
        pytest.param({"ended": "stopped"}, {}, False, id="the platform has ended it"),
        pytest.param({"foreign_handle": "h"}, {}, False, id="its key has another session"),
        pytest.param({"key_refused": "no"}, {}, False, id="its key takes no other session"),
    ],
)
def test_a_plain_ping_shows_only_how_its_session_is(
    said: dict[str, Any], placement: dict[str, Any], plain: bool
) -> None:
    assert is_plain(Ping(V.GONE, 7, **said), a_placement(**placement)) is plain


def test_a_session_that_sleeps_is_not_in_doubt_and_is_looked_at_again() -> None:
    asleep, now = Ping(V.ALIVE, 0, "asleep", asleep=True), T0 + 99 * SECOND
    session = a_running_session(failures=2, failing_since=T0, last_ping_at=T0)
    noted = note_ping(session, asleep, POLICY, now)
    assert noted == replace(session, failures=0, failing_since=None), "nor is it noted as pinged"
    assert after_answer(noted, asleep, POLICY, now, 1) == PingAgain(now + 30 * SECOND)


@pytest.mark.parametrize(
    ("session", "by_schedule", "reason"),
    [
        (a_running_session(), False, StopReason.DEAD),
        (a_running_session(), True, StopReason.PROVIDER_ENDED),
        (a_starting_session(), True, None),
        (a_running_session(state=State.STOPPING), True, None),
    ],
)
def test_what_the_platform_has_ended_is_over(
    session: Session, by_schedule: bool, reason: StopReason | None
) -> None:
    ping = Ping(V.TRANSIENT, 7, "no", ended="stopped", by_schedule=by_schedule)
    decision = after_answer(note_ping(session, ping, POLICY, T0), ping, POLICY, T0, 0)
    assert getattr(decision, "reason", None) is reason
    assert isinstance(decision, GiveUp | Stop | NoChange)


@given(st.sampled_from(Verdict), st.floats(-1, 1), st.none() | st.floats(0, 1e6))
def test_an_answer_without_a_status_is_decided_as_a_ping(
    verdict: Verdict, jitter: float, waits: float | None
) -> None:
    ping = Ping(verdict, 7, "no", retry_after_seconds=waits)
    for session in (a_running_session(), a_starting_session()):
        noted = note_ping(session, ping, POLICY, T0 + SECOND)
        said = after_answer(noted, ping, POLICY, T0 + SECOND, jitter)
        assert said == after_ping(noted, POLICY, T0 + SECOND, jitter, retry_after_seconds=waits)
