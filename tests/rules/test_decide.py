from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.sessions.decide import (
    BecomeRunning,
    Decision,
    GiveUp,
    NextPing,
    NoChange,
    Ping,
    PingAgain,
    Stop,
    after_ping,
    after_plain_ping,
    after_platform_status,
    held_at_most,
    note_ping,
    plan_steps,
    without_doubts,
)
from orchestrator.rules.sessions.pings import may_be_the_last, spread
from orchestrator.rules.sessions.uses import note_success, ping_not_needed_until
from orchestrator.rules.states import State, Step, StopReason
from orchestrator.rules.values import Due, Policy, Session, Verdict
from tests.due import due_at, step_of
from tests.rules.builders import (
    HOUR,
    MINUTE,
    POLICY,
    SECOND,
    T0,
    a_running_session,
    a_session,
    a_starting_session,
)

NOW = T0 + 10 * MINUTE
ALL_DOUBTS: dict[str, Any] = {
    "failures": 2,
    "failing_since": T0,
    "gone_since": T0,
    "loading_since": T0,
    "unusable_since": T0,
}
UNUSABLE = [Verdict.CREDENTIALS, Verdict.OUT_OF_BALANCE, Verdict.MISCONFIGURED]


def pinged(
    session: Session, *verdicts: Verdict, every: timedelta = SECOND, policy: Policy = POLICY
) -> Session:
    """Return the session after pings with these verdicts, the last of them at NOW."""
    for n, verdict in enumerate(verdicts):
        at = NOW - every * (len(verdicts) - 1 - n)
        session = note_ping(session, Ping(verdict, 7, f"answer {n}"), policy, at)
    return session


def doubts(session: Session) -> tuple[int, Any, Any, Any, Any]:
    return (
        session.failures,
        session.failing_since,
        session.gone_since,
        session.loading_since,
        session.unusable_since,
    )


@pytest.mark.parametrize(
    ("verdict", "left"),
    [
        pytest.param(Verdict.ALIVE, (0, None, None, None, None), id="life ends every doubt"),
        pytest.param(Verdict.THROTTLED, (0, None, None, None, None), id="so does a server that answers"),
        pytest.param(Verdict.LOADING, (0, None, None, T0, None), id="loading ends the streak"),
        pytest.param(Verdict.TRANSIENT, (3, T0, T0, T0, T0), id="silence grows it and contradicts nothing"),
        pytest.param(Verdict.GONE, (0, None, T0, T0, T0), id="gone is no failure of the streak"),
        *(pytest.param(v, (0, None, None, T0, T0), id=f"{v} ends the streak") for v in UNUSABLE),
    ],
)
def test_what_a_verdict_leaves_of_older_doubts(verdict: Verdict, left: object) -> None:
    policy = replace(POLICY, start_timeout_seconds=601)
    assert doubts(pinged(a_running_session(**ALL_DOUBTS), verdict, policy=policy)) == left


def test_the_platforms_own_word_outweighs_a_ping_that_says_gone() -> None:
    session = a_running_session(failures=1, failing_since=T0, gone_since=T0)
    noted = note_ping(session, Ping(Verdict.GONE, 7, "no such session", lives="ACTIVE"), POLICY, NOW)
    assert (noted.last_verdict, doubts(noted)) == (Verdict.TRANSIENT, (2, T0, None, None, None))
    said = "no such session; but the platform's status says that it lives: ACTIVE"
    assert noted.last_ping_detail == said
    assert after_ping(noted, POLICY, NOW) == again(2)


def test_its_word_changes_no_other_verdict() -> None:
    noted = note_ping(a_running_session(), Ping(Verdict.TRANSIENT, 7, "no", lives="ACTIVE"), POLICY, NOW)
    assert (noted.last_verdict, noted.last_ping_detail) == (Verdict.TRANSIENT, "no")


@pytest.mark.parametrize(
    ("verdict", "left"),
    [
        pytest.param(Verdict.LOADING, (0, None, None, NOW, None), id="loading"),
        pytest.param(Verdict.TRANSIENT, (1, NOW, None, None, None), id="transient"),
        pytest.param(Verdict.GONE, (0, None, NOW, None, None), id="gone"),
        pytest.param(Verdict.CREDENTIALS, (0, None, None, None, NOW), id="unusable"),
    ],
)
def test_a_doubt_begins_at_its_first_sight(verdict: Verdict, left: object) -> None:
    assert doubts(pinged(a_running_session(), verdict)) == left


def test_a_ping_leaves_its_evidence() -> None:
    session = pinged(a_running_session(), Verdict.ALIVE, Verdict.THROTTLED)
    assert session.last_ping_at == NOW
    assert session.last_verdict is Verdict.THROTTLED
    assert session.last_latency_ms == 7
    assert session.last_ping_detail == "answer 1"
    assert session.last_alive_at == NOW - SECOND


def test_loading_for_too_long_is_a_failure() -> None:
    session = pinged(a_running_session(), *[Verdict.LOADING] * 5, every=5 * MINUTE)
    assert (session.failures, session.failing_since) == (1, NOW)
    assert session.last_verdict is Verdict.TRANSIENT
    assert session.last_ping_detail == "still loading after 1200 s"
    assert session.loading_since == NOW - 20 * MINUTE


@pytest.mark.parametrize(
    ("verdict", "doubts", "last"),
    [
        pytest.param(Verdict.ALIVE, ALL_DOUBTS, False, id="life"),
        pytest.param(Verdict.THROTTLED, ALL_DOUBTS, False, id="an answer"),
        pytest.param(Verdict.GONE, {}, True, id="gone, at first sight"),
        pytest.param(Verdict.TRANSIENT, {"failures": 1}, False, id="a second failure"),
        pytest.param(Verdict.TRANSIENT, {"failures": 2}, True, id="a third one"),
        pytest.param(
            Verdict.LOADING, {"failures": 2, "loading_since": NOW - 19 * MINUTE}, False, id="loading"
        ),
        pytest.param(
            Verdict.LOADING,
            {"failures": 2, "loading_since": NOW - 20 * MINUTE},
            True,
            id="loading for too long",
        ),
        *(
            pytest.param(
                v, {"unusable_since": NOW - 14 * MINUTE, "failures": 2}, False, id=f"{v} for a while"
            )
            for v in UNUSABLE
        ),
        *(
            pytest.param(v, {"unusable_since": NOW - 15 * MINUTE}, True, id=f"{v} for too long")
            for v in UNUSABLE
        ),
    ],
)
def test_before_which_pings_the_platform_is_asked(
    verdict: Verdict, doubts: dict[str, Any], last: bool
) -> None:
    session = a_running_session(**doubts)
    assert may_be_the_last(session, Ping(verdict, 7), POLICY, NOW) is last


@pytest.mark.parametrize(
    ("at", "left"),
    [
        pytest.param(T0, (0, None, None, None, None), id="it ends what is not younger"),
        pytest.param(T0 - SECOND, (2, T0, T0, T0, T0), id="it proves nothing of what came after"),
    ],
)
def test_a_reported_success_proves_life(at: datetime, left: object) -> None:
    session = note_success(a_running_session(**ALL_DOUBTS), at)
    assert doubts(session) == left
    assert session.last_alive_at == at


def test_a_late_report_does_not_make_life_older() -> None:
    assert note_success(a_running_session(last_alive_at=NOW), T0).last_alive_at == NOW


def test_a_new_beginning_has_no_doubts() -> None:
    assert doubts(without_doubts(a_running_session(**ALL_DOUBTS))) == (0, None, None, None, None)


@pytest.mark.parametrize(
    ("session", "until"),
    [
        pytest.param(a_running_session(), NOW + 30 * SECOND, id="life lasts an interval"),
        pytest.param(a_starting_session(), None, id="a start is proven by its own ping"),
        *(
            pytest.param(a_running_session(**{doubt: NOW}), None, id=f"{doubt} is a doubt")
            for doubt in ("failing_since", "gone_since", "loading_since", "unusable_since")
        ),
    ],
)
def test_no_ping_is_wasted(session: Session, until: datetime | None) -> None:
    assert ping_not_needed_until(session, NOW, POLICY) == until


# decisions


def again(seconds: float) -> PingAgain:
    return PingAgain(NOW + timedelta(seconds=seconds))


V = Verdict
TWICE_GONE = "the provider says that it is gone, twice: answer 1"


@pytest.mark.parametrize(
    ("verdicts", "decision"),
    [
        pytest.param([V.ALIVE], BecomeRunning(NOW + 30 * SECOND), id="the first good ping"),
        pytest.param([V.TRANSIENT], again(1), id="not there yet"),
        pytest.param([V.TRANSIENT] * 4, again(8), id="still not there"),
        pytest.param([V.TRANSIENT] * 99, again(30), id="cold for a long time is no death"),
        pytest.param([V.LOADING], again(5), id="loading"),
        pytest.param([V.CREDENTIALS], again(5), id="refused"),
        pytest.param([V.THROTTLED], again(5), id="throttled"),
        pytest.param([V.GONE], again(1), id="gone needs its confirmation"),
        pytest.param([V.GONE, V.GONE], GiveUp(TWICE_GONE), id="gone twice"),
        pytest.param([], PingAgain(NOW), id="never pinged"),
    ],
)
def test_while_starting(verdicts: list[Verdict], decision: Decision) -> None:
    assert after_ping(pinged(a_starting_session(), *verdicts), POLICY, NOW) == decision


def test_a_warming_session_is_pinged_no_slower_than_a_running_one() -> None:
    session = pinged(a_starting_session(), V.LOADING)
    assert after_ping(session, Policy(ping_interval_seconds=2), NOW) == again(2)


@pytest.mark.parametrize(
    ("verdicts", "every", "decision"),
    [
        pytest.param([V.ALIVE], 1, again(30), id="alive"),
        pytest.param([V.THROTTLED], 1, again(30), id="throttled"),
        pytest.param([V.LOADING], 1, again(30), id="loading"),
        pytest.param([V.TRANSIENT], 1, again(1), id="once is a blip"),
        pytest.param([V.TRANSIENT] * 2, 45, again(2), id="twice is a doubt"),
        pytest.param([V.TRANSIENT] * 3, 10, again(4), id="thrice too quickly is a blip"),
        pytest.param([V.TRANSIENT] * 9, 1, again(30), id="never slower than the interval"),
        pytest.param(
            [V.TRANSIENT] * 3,
            30,
            Stop(StopReason.DEAD, "3 failed pings in a row over 60 s, the last: answer 2"),
            id="thrice over a minute is dead",
        ),
        pytest.param(
            [V.TRANSIENT, V.TRANSIENT, V.ALIVE, V.TRANSIENT], 30, again(1), id="life ends the streak"
        ),
        pytest.param(
            [V.TRANSIENT, V.TRANSIENT, V.TRANSIENT, V.MISCONFIGURED, V.TRANSIENT],
            20,
            again(1),
            id="a restart, a wrong page and one timeout are no death",
        ),
        pytest.param([V.GONE], 1, again(1), id="gone needs its confirmation"),
        pytest.param([V.GONE, V.ALIVE, V.GONE], 1, again(1), id="life contradicts it"),
        pytest.param([V.GONE, V.GONE], 1, Stop(StopReason.DEAD, TWICE_GONE), id="gone twice is dead"),
        pytest.param(
            [V.GONE, V.TRANSIENT, V.GONE],
            1,
            Stop(StopReason.DEAD, TWICE_GONE.replace("1", "2")),
            id="silence in between contradicts nothing",
        ),
        pytest.param([V.CREDENTIALS], 1, again(30), id="refused is not dead"),
        pytest.param([V.CREDENTIALS, V.MISCONFIGURED], 899, again(30), id="nor is it for a while"),
        pytest.param(
            [V.CREDENTIALS, V.OUT_OF_BALANCE],
            900,
            Stop(StopReason.DEAD, "unusable for 900 s, the last: OUT_OF_BALANCE answer 1"),
            id="unusable for long is dead",
        ),
        pytest.param([V.CREDENTIALS, V.ALIVE, V.CREDENTIALS], 450, again(30), id="usable in between"),
        pytest.param([], 1, PingAgain(NOW), id="never pinged"),
    ],
)
def test_while_running(verdicts: list[Verdict], every: int, decision: Decision) -> None:
    session = pinged(a_running_session(), *verdicts, every=every * SECOND)
    assert after_ping(session, POLICY, NOW) == decision


@pytest.mark.parametrize(("jitter", "seconds"), [(-1.0, 27), (0.0, 30), (1.0, 33)])
def test_pings_are_spread(jitter: float, seconds: int) -> None:
    assert after_ping(pinged(a_running_session(), V.ALIVE), POLICY, NOW, jitter) == again(seconds)


def test_others_are_waited_for_no_longer_than_two_intervals() -> None:
    assert held_at_most(Policy(ping_interval_seconds=45)) == 90


def test_who_waited_together_goes_again_within_a_tenth_of_an_interval() -> None:
    assert spread(POLICY) == 3


@pytest.mark.parametrize(
    ("retry_after", "starting", "running"),
    [
        pytest.param(None, 5, 30, id="nothing said"),
        pytest.param(2.0, 5, 30, id="sooner than we would"),
        pytest.param(60.0, 60, 60, id="later than we would"),
        pytest.param(86400.0, 300, 300, id="nonsense"),
    ],
)
def test_retry_after_is_honoured(retry_after: float | None, starting: int, running: int) -> None:
    cases = (
        (a_starting_session(), V.THROTTLED, starting),
        (a_starting_session(), V.LOADING, 5),  # a guess, while a user waits
        (a_running_session(), V.THROTTLED, running),
        (a_running_session(), V.LOADING, running),
    )
    for session, verdict, seconds in cases:
        waits = pinged(session, verdict)
        assert after_ping(waits, POLICY, NOW, retry_after_seconds=retry_after) == again(seconds)


def test_one_failure_kills_where_the_policy_says_so() -> None:
    policy = Policy(dead_after_failures=1, dead_after_seconds=0)
    decision = after_ping(pinged(a_running_session(), V.TRANSIENT), policy, NOW)
    assert decision == Stop(StopReason.DEAD, "1 failed ping over 0 s, the last: answer 0")


@pytest.mark.parametrize("verdicts", [[V.GONE] * 3, [V.TRANSIENT] * 3, [V.CREDENTIALS] * 30], ids=str)
@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        pytest.param(NOW + SECOND, StopReason.DEAD, id="before the declared end"),
        pytest.param(NOW, StopReason.PROVIDER_ENDED, id="from the declared end on"),
    ],
)
def test_the_declared_end_makes_the_difference(
    verdicts: list[Verdict], ends: datetime, reason: StopReason
) -> None:
    session = pinged(a_running_session(declared_end_at=ends), *verdicts, every=40 * SECOND)
    decision = after_ping(session, POLICY, NOW)
    assert isinstance(decision, Stop)
    assert decision.reason is reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        pytest.param([(V.GONE, True), (V.GONE, True)], StopReason.PROVIDER_ENDED, id="expired, twice"),
        pytest.param([(V.GONE, True), (V.GONE, False)], StopReason.PROVIDER_ENDED, id="and then no session"),
        pytest.param([(V.GONE, False), (V.GONE, True)], StopReason.PROVIDER_ENDED, id="the better word last"),
        pytest.param([(V.GONE, False), (V.GONE, False)], StopReason.DEAD, id="gone, for no known reason"),
        pytest.param(
            [(V.GONE, True), *[(V.TRANSIENT, False)] * 3], StopReason.PROVIDER_ENDED, id="then silence"
        ),
        pytest.param(
            [(V.GONE, True), (V.ALIVE, False), *[(V.GONE, False)] * 2], StopReason.DEAD, id="refuted since"
        ),
    ],
)
def test_who_is_said_to_have_expired_is_not_dead(
    said: list[tuple[Verdict, bool]], reason: StopReason
) -> None:
    session = a_running_session(declared_end_at=NOW + HOUR)
    for n, (verdict, expired) in enumerate(said):
        ping = Ping(verdict, 7, "answer", expired=expired)
        session = note_ping(session, ping, POLICY, NOW - 40 * SECOND * (len(said) - 1 - n))
    decision = after_ping(session, POLICY, NOW)
    assert isinstance(decision, Stop)
    assert decision.reason is reason


def test_a_status_that_contradicts_takes_the_word_expired_away() -> None:
    session = a_running_session(declared_end_at=NOW + HOUR)
    lives = Ping(V.GONE, 7, "session expired", lives="running", expired=True)
    session = note_ping(session, lives, POLICY, NOW - MINUTE)
    assert (session.gone_since, session.expired_at) == (None, None)


@pytest.mark.parametrize(("expired", "reason"), [(True, StopReason.PROVIDER_ENDED), (False, StopReason.DEAD)])
def test_the_platforms_own_word_says_whether_it_has_expired(expired: bool, reason: StopReason) -> None:
    session = a_running_session(declared_end_at=NOW + HOUR)
    decision = after_platform_status(session, NOW, "ended", expired=expired)
    assert decision == Stop(reason, "the platform says so itself: ended")


@pytest.mark.parametrize("verdict", V)
@pytest.mark.parametrize("state", [State.CREATED, State.QUEUED, State.STOPPING, State.STOPPED, State.FAILED])
def test_a_ping_decides_nothing_for_others(state: State, verdict: Verdict) -> None:
    assert after_ping(pinged(a_session(state=state), verdict), POLICY, NOW) == NoChange()


@pytest.mark.parametrize("verdict", V)
def test_a_success_between_ping_and_decision_is_no_death(verdict: Verdict) -> None:
    session = note_success(pinged(a_running_session(), *[verdict] * 30, every=40 * SECOND), NOW)
    assert isinstance(after_ping(session, POLICY, NOW), PingAgain)


@given(st.sampled_from(V), st.floats(-1, 1), st.none() | st.floats(0, 1e9))
def test_no_single_ping_stops_a_healthy_session(
    verdict: Verdict, jitter: float, retry_after: float | None
) -> None:
    session = pinged(a_running_session(last_alive_at=T0), verdict)
    decision = after_ping(session, POLICY, NOW, jitter, retry_after_seconds=retry_after)
    assert isinstance(decision, PingAgain)
    assert NOW < decision.at <= NOW + 10 * 30 * SECOND


@given(st.lists(st.tuples(st.sampled_from(V), st.integers(1, 300)), max_size=40))
def test_whoever_was_alive_at_the_last_ping_is_never_stopped_by_the_next(
    story: list[tuple[Verdict, int]],
) -> None:
    session, now, alive = a_running_session(), T0, True
    for verdict, seconds in story:
        now += seconds * SECOND
        session = note_ping(session, Ping(verdict, 1), POLICY, now)
        assert not (alive and isinstance(after_ping(session, POLICY, now), Stop))
        alive = verdict is V.ALIVE


# the one next step


def planned(session: Session, ping_at: datetime | None = None, now: datetime = T0) -> Session:
    return plan_steps(session, POLICY, now, ping_at=ping_at)


@pytest.mark.parametrize(
    ("session", "ping_after", "step", "after"),
    [
        pytest.param(a_running_session(), 30, Step.PING, 30, id="a ping comes first"),
        pytest.param(a_running_session(max_duration_seconds=20), 30, Step.STOP, 20, id="a stop comes first"),
        pytest.param(
            a_running_session(max_duration_seconds=90), 31, Step.WARN, 30, id="a warning comes first"
        ),
        pytest.param(
            a_running_session(max_duration_seconds=30), 30, Step.STOP, 30, id="a stop before a ping"
        ),
        pytest.param(
            a_running_session(max_duration_seconds=90), 30, Step.WARN, 30, id="a warning before a ping"
        ),
        pytest.param(a_running_session(max_duration_seconds=40), None, Step.STOP, 40, id="no ping wanted"),
        pytest.param(a_starting_session(), 3, Step.PING, 3, id="a start is watched"),
        pytest.param(a_starting_session(), None, Step.STOP, 1200, id="a start without a placement waits"),
        pytest.param(
            a_session(state=State.QUEUED, queue_deadline_at=T0 + HOUR),
            3,
            Step.ADMIT,
            3600,
            id="a queue's deadline",
        ),
    ],
)
def test_the_next_step_is_the_earliest(
    session: Session, ping_after: int | None, step: Step, after: int
) -> None:
    ping_at = None if ping_after is None else T0 + ping_after * SECOND
    result = planned(session, ping_at)
    assert result.due == Due(step, T0 + after * SECOND)


@pytest.mark.parametrize("state", [State.CREATED, State.QUEUED, State.STOPPING, State.STOPPED, State.FAILED])
def test_nothing_is_next_where_nothing_runs(state: State) -> None:
    before = a_session(state=state, due=Due(Step.PING, T0), stop_at=T0, warn_at=T0, warned_seconds=60)
    after = planned(before, T0)
    assert (step_of(after), due_at(after), after.stop_at, after.stop_at_reason) == (None,) * 4
    assert (after.warn_at, after.warned_seconds) == (None, None)


def test_of_what_is_overdue_the_stop_goes_first() -> None:
    session = planned(a_running_session(max_duration_seconds=3600), T0)
    late = planned(session, T0 + MINUTE, now=T0 + 2 * HOUR)
    assert late.due == Due(Step.STOP, T0 + HOUR)


def test_a_starting_session_is_not_warned_of() -> None:
    assert planned(a_starting_session()).warn_at is None


def test_each_warning_is_given_once_even_if_late() -> None:
    session = planned(a_running_session(max_duration_seconds=1000))
    assert (session.warn_at, session.warned_seconds) == (T0 + 100 * SECOND, None)
    looked_late = planned(session, now=T0 + 130 * SECOND)
    assert looked_late.warn_at == T0 + 100 * SECOND
    warned = planned(replace(looked_late, warned_seconds=900), now=T0 + 130 * SECOND)
    assert (warned.warn_at, warned.warned_seconds) == (T0 + 700 * SECOND, 900)


def test_a_warning_too_late_when_the_stop_became_known_stays_skipped() -> None:
    session = planned(a_running_session(max_duration_seconds=600))
    assert (session.warn_at, session.warned_seconds) == (T0 + 300 * SECOND, None)
    assert planned(session, now=T0 + 100 * SECOND).warn_at == T0 + 300 * SECOND


def test_the_idle_end_is_warned_of_and_not_when_it_is_decided() -> None:
    session = planned(a_running_session(idle_seconds=1000))
    assert (session.warn_at, session.ends_at) == (T0 + 100 * SECOND, T0 + 1000 * SECOND)
    assert session.stop_at == T0 + 1030 * SECOND
    at_another_grace = replace(POLICY, idle_grace_seconds=5)
    again = plan_steps(replace(session, warned_seconds=900), at_another_grace, T0, ping_at=T0)
    assert (again.stop_at, again.warned_seconds) == (T0 + 1005 * SECOND, 900)


def test_what_stops_for_another_reason_has_no_idle_end() -> None:
    session = planned(a_running_session(idle_seconds=1000, max_duration_seconds=900))
    assert (session.ends_at, session.idle_ends_at) == (session.stop_at, None)


def test_a_stop_that_moved_is_warned_of_anew() -> None:
    session = replace(planned(a_running_session(max_duration_seconds=1000)), warned_seconds=60)
    moved = planned(replace(session, max_duration_seconds=5000), now=T0 + 950 * SECOND)
    assert (moved.stop_at, moved.warn_at, moved.warned_seconds) == (
        T0 + 5000 * SECOND,
        T0 + 4100 * SECOND,
        None,
    )


@given(st.integers(1, 90_000), st.integers(0, 100_000), st.none() | st.integers(0, 100_000))
def test_every_live_session_has_one_next_step(duration: int, now: int, ping: int | None) -> None:
    ping_at = None if ping is None else T0 + ping * SECOND
    session = planned(a_running_session(max_duration_seconds=duration), ping_at, T0 + now * SECOND)
    assert session.due is not None
    assert session.stop_at is not None
    assert session.due.at <= session.stop_at or session.stop_at <= T0 + now * SECOND


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        pytest.param(a_starting_session(), GiveUp, id="starting: this attempt is over"),
        pytest.param(a_running_session(), Stop, id="running: it is dead"),
        pytest.param(a_session(), NoChange, id="not served: nothing to decide"),
    ],
)
def test_the_platforms_own_word_needs_no_second_ping(session: Session, expected: type) -> None:
    decision = after_platform_status(session, T0, "stopped")
    assert type(decision) is expected


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({}, id="pinged next"),
        pytest.param({"max_duration_seconds": 320}, id="warned next"),
        pytest.param({"max_duration_seconds": 20, "warned_seconds": 60}, id="stopped next"),
        pytest.param({"idle_seconds": 120, "last_interaction_at": NOW}, id="perhaps idle"),
        pytest.param({"declared_end_at": NOW + timedelta(seconds=5)}, id="ended by the provider next"),
    ],
)
@pytest.mark.parametrize("jitter", [-1.0, 0.0, 1.0])
def test_a_good_ping_of_a_well_session_changes_only_its_times(limits: dict[str, Any], jitter: float) -> None:
    session = a_running_session(**limits)
    session = plan_steps(session, POLICY, NOW, ping_at=NOW)
    following = after_plain_ping(session, Ping(Verdict.ALIVE, 7, ""), POLICY, NOW, jitter)
    noted = note_ping(session, Ping(Verdict.ALIVE, 7, ""), POLICY, NOW)
    decided = after_ping(noted, POLICY, NOW, jitter)
    assert isinstance(decided, PingAgain)
    planned = plan_steps(noted, POLICY, NOW, ping_at=decided.at)
    assert planned.due is not None
    assert following == NextPing(decided.at, planned.due)


@pytest.mark.parametrize(
    ("session", "verdict"),
    [
        pytest.param(a_starting_session(), Verdict.ALIVE, id="it begins to run"),
        pytest.param(a_running_session(), Verdict.LOADING, id="it is not ready"),
        pytest.param(a_running_session(failures=1, failing_since=T0), Verdict.ALIVE, id="it recovers"),
        pytest.param(a_running_session(held_since=T0), Verdict.ALIVE, id="a brake held it"),
    ],
)
def test_a_ping_that_changes_more_is_decided_on_its_own(session: Session, verdict: Verdict) -> None:
    assert after_plain_ping(session, Ping(verdict, 7, ""), POLICY, NOW, 0.0) is None
