"""What answers about placements mean: what the placement becomes, and when the platform is asked again."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.backoff import backoff
from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.rules.upstream import alarms
from orchestrator.rules.upstream.alarms import AlarmKind
from orchestrator.rules.upstream.local_faults import LocalFault
from orchestrator.rules.upstream.placements import (
    TRIES_TO_FREE,
    FailedCall,
    closes_by_its_own_end,
    closing,
    ended,
    ends_at,
    found_closed,
    in_doubt,
    is_awaited,
    is_its_own,
    is_past_its_end,
    is_stuck,
    is_unwanted,
    lasts_as_asked,
    may_close_at_once,
    orphan_closes_at,
    resolve_after,
    sent_again,
    unserved,
    was_never_sent,
    without_proof,
)
from orchestrator.rules.values import Due, Lease, Policy
from tests.rules.builders import MINUTE, SECOND, T0, a_placement, a_starting_session

POLICY = Policy(
    resolve_after_seconds=30,
    close_retry_max_seconds=600,
    credential_rest_seconds=5,
    ping_interval_seconds=30,
)
FAULT = next(iter(LocalFault))
LEASED: Mapping[str, Any] = {"lease": Lease("token", T0 + MINUTE), "sent_at": T0 - MINUTE}
SHOWS_AFTER = 300.0


@pytest.mark.parametrize(("doublings", "seconds"), [(-1, 1), (0, 2), (1, 4), (4, 32), (5, 60), (10_000, 60)])
def test_a_backoff_doubles_up_to_its_last(doublings: int, seconds: float) -> None:
    assert backoff(2, doublings, 60) == seconds


@pytest.mark.parametrize(("card", "seconds"), [(None, 30), (0, 30), (20, 30), (300, 300)])
def test_the_later_of_policy_and_card_binds(card: int | None, seconds: float) -> None:
    assert resolve_after(POLICY, card) == seconds


# what an answer is about


@pytest.mark.parametrize(
    ("state", "placements", "awaited"),
    [(State.STARTING, 1, True), (State.STARTING, 2, False), (State.STOPPING, 1, False)],
)
def test_a_session_waits_for_its_last_placement_while_it_starts(
    state: State, placements: int, awaited: bool
) -> None:
    session = a_starting_session(state=state, placements=placements)
    assert is_awaited(session, a_placement()) is awaited
    assert is_stuck(session, a_placement(attempts=TRIES_TO_FREE)) is awaited
    assert not is_stuck(session, a_placement(attempts=TRIES_TO_FREE - 1))


@pytest.mark.parametrize(
    ("frees_key", "freed_at", "never_sent"),
    [(False, None, False), (True, None, True), (True, T0, False)],
)
def test_an_open_under_a_key_that_was_not_freed_was_never_sent(
    frees_key: bool, freed_at: datetime | None, never_sent: bool
) -> None:
    placement = a_placement(freed_at=freed_at)
    assert was_never_sent(placement, frees_key=frees_key) is never_sent
    assert is_unwanted(placement, frees_key=frees_key) is never_sent
    assert is_its_own(placement, foreign=False, frees_key=frees_key) is not never_sent
    assert not is_its_own(placement, foreign=True, frees_key=frees_key)


@pytest.mark.parametrize("changes", [{"closing_since": T0}, {"orphans_at_most": 1}])
def test_what_is_to_be_closed_or_may_have_failed_is_not_adopted(changes: dict[str, Any]) -> None:
    assert is_unwanted(a_placement(**changes), frees_key=False)


@pytest.mark.parametrize(
    ("sent_at", "declared", "lasts", "end"),
    [
        pytest.param(T0, T0 + MINUTE, 90, T0 + MINUTE, id="as the platform declares"),
        pytest.param(T0, None, 90, T0 + 90 * SECOND, id="counted from the open"),
        pytest.param(None, None, 90, T0 + 150 * SECOND, id="counted from now"),
        pytest.param(T0, None, None, None, id="nothing is known"),
    ],
)
def test_the_platform_ends_what_it_opened(
    sent_at: datetime | None, declared: datetime | None, lasts: float | None, end: datetime | None
) -> None:
    assert ends_at(a_placement(sent_at=sent_at), declared, lasts, T0 + MINUTE) == end


# opens


@pytest.mark.parametrize(
    ("attempts", "failure", "seconds"),
    [
        (1, FailedCall(said="x"), 2),
        (3, FailedCall(said="x"), 8),
        (99, FailedCall(said="x"), 60),
        (1, FailedCall(said="x", retry_after_seconds=90), 90),
        (1, FailedCall(said="x", retry_after_seconds=10_000), 300),
        (1, FailedCall(said="x", key_rests=True), 5),
        (99, FailedCall(said="x", fault=FAULT), 8),
    ],
)
def test_an_open_is_sent_again(attempts: int, failure: FailedCall, seconds: float) -> None:
    placement = a_placement(attempts=attempts, **LEASED)
    assert sent_again(placement, Step.OPEN, failure, POLICY, T0) == replace(
        placement,
        last_answer="x",
        due=Due(Step.OPEN, T0 + seconds * SECOND),
        lease=None,
        sent_at=None,
        attempts=attempts - 1 if failure.fault else attempts,
    )


@pytest.mark.parametrize("closing_since", [None, T0 - MINUTE])
def test_a_resolve_that_was_not_asked_is_asked_again(closing_since: datetime | None) -> None:
    placement = a_placement(state=PlacementState.UNKNOWN, attempts=1, closing_since=closing_since, **LEASED)
    assert sent_again(placement, Step.RESOLVE, FailedCall(said="x"), POLICY, T0) == replace(
        placement,
        last_answer="x",
        unproven_since=None if closing_since is None else T0,
        due=Due(Step.RESOLVE, T0 + 2 * SECOND),
        lease=None,
    )


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (FailedCall(said="x"), 300),
        (FailedCall(said="x", answered=True), 5),
        (FailedCall(said="x", fault=FAULT), 300),
    ],
)
def test_an_open_of_unknown_effect_is_resolved_once_it_must_show(failure: FailedCall, seconds: float) -> None:
    placement = a_placement(attempts=3, **LEASED)
    assert in_doubt(placement, Step.OPEN, failure, POLICY, SHOWS_AFTER, T0) == replace(
        placement,
        state=PlacementState.UNKNOWN,
        last_answer="x",
        due=Due(Step.RESOLVE, T0 + seconds * SECOND),
        lease=None,
        attempts=0,
    )


@pytest.mark.parametrize(
    ("fault", "attempts", "answered", "seconds"),
    [
        (None, 0, False, 60),
        (None, 1, False, 120),
        (None, 9, False, 600),
        (FAULT, 9, False, 8),
        (None, 9, True, 5),
    ],
)
def test_a_resolve_is_asked_again(
    fault: LocalFault | None, attempts: int, answered: bool, seconds: float
) -> None:
    placement = a_placement(state=PlacementState.UNKNOWN, attempts=attempts, closing_since=T0, **LEASED)
    failure = FailedCall(said="x", fault=fault, answered=answered)
    assert in_doubt(placement, Step.RESOLVE, failure, POLICY, SHOWS_AFTER, T0 + MINUTE) == replace(
        placement,
        last_answer="x",
        unproven_since=T0 + MINUTE,
        due=Due(Step.RESOLVE, T0 + MINUTE + seconds * SECOND),
        lease=None,
        attempts=attempts - 1 if fault else attempts,
    )


@pytest.mark.parametrize(
    ("before", "failure", "possible", "at_most"),
    [
        ((False, None), FailedCall(said="x"), False, None),
        ((False, None), FailedCall(said="x", possible_orphans=True), True, None),
        ((True, 1), FailedCall(said="x", orphans_at_most=2), True, 3),
        ((True, 1), FailedCall(said="x"), True, 1),
    ],
)
def test_each_failed_open_may_leave_more(
    before: tuple[bool, int | None], failure: FailedCall, possible: bool, at_most: int | None
) -> None:
    placement = a_placement(possible_orphans=before[0], orphans_at_most=before[1])
    after = in_doubt(placement, Step.OPEN, failure, POLICY, SHOWS_AFTER, T0)
    assert (after.possible_orphans, after.orphans_at_most) == (possible, at_most)


@pytest.mark.parametrize(
    ("possible", "left", "still", "then"),
    [(False, None, False, None), (True, None, True, None), (True, 1, False, 0), (True, 2, True, 1)],
)
def test_what_is_found_is_one_of_the_possible_orphans(
    possible: bool, left: int | None, still: bool, then: int | None
) -> None:
    placement = a_placement(possible_orphans=possible, orphans_at_most=left)
    found = found_closed(placement, "h")
    assert found == replace(placement, handle="h", possible_orphans=still, orphans_at_most=then)


@given(
    attempts=st.integers(0, 10_000),
    closing=st.booleans(),
    step=st.sampled_from([Step.OPEN, Step.RESOLVE]),
    failure=st.builds(
        FailedCall,
        said=st.just("x"),
        fault=st.none() | st.sampled_from(LocalFault),
        retry_after_seconds=st.none() | st.floats(0, 1e9),
        key_rests=st.booleans(),
        answered=st.booleans(),
    ),
)
def test_every_answer_leaves_a_step_that_comes_in_time(
    attempts: int, closing: bool, step: Step, failure: FailedCall
) -> None:
    placement = a_placement(attempts=attempts, closing_since=T0 if closing else None, **LEASED)
    for after in (
        sent_again(placement, step, failure, POLICY, T0),
        in_doubt(placement, step, failure, POLICY, SHOWS_AFTER, T0),
        without_proof(placement, failure, POLICY, 1, T0),
    ):
        assert after.lease is None
        assert after.due is not None
        assert T0 < after.due.at <= T0 + 660 * SECOND
        assert 0 <= after.attempts <= attempts


# closes


@pytest.mark.parametrize(
    ("fault", "attempts", "jitter", "seconds"),
    [
        (None, 0, 0, 1),
        (None, 3, 0, 8),
        (None, 3, 1, 8.8),
        (None, 3, -1, 7.2),
        (None, 99, 0, 600),
        (FAULT, 99, 1, 8),
    ],
)
@pytest.mark.parametrize("unproven_since", [None, T0 - MINUTE])
def test_a_close_is_tried_again(
    fault: LocalFault | None, attempts: int, jitter: float, seconds: float, unproven_since: datetime | None
) -> None:
    placement = a_placement(
        state=PlacementState.CLOSING, attempts=attempts, unproven_since=unproven_since, **LEASED
    )
    after = without_proof(placement, FailedCall(said="x", fault=fault), POLICY, jitter, T0)
    assert after == replace(
        placement,
        unproven_since=unproven_since or T0,
        last_answer="x",
        due=Due(Step.CLOSE, T0 + seconds * SECOND),
        lease=None,
        attempts=attempts - 1 if fault else attempts,
    )


@pytest.mark.parametrize(
    ("last", "said"),
    [(None, "no worker tries it: its provider or its secret is missing on the workers"), ("busy", "busy")],
)
def test_a_close_that_nobody_tries_counts_as_unproven(last: str | None, said: str) -> None:
    placement = a_placement(state=PlacementState.CLOSING, last_answer=last)
    assert unserved(placement, T0) == replace(placement, unproven_since=T0, last_answer=said)


@pytest.mark.parametrize(
    ("session_id", "closes_by_id", "by_itself"),
    [("s", False, False), ("s", True, False), (None, True, False), (None, False, True)],
)
def test_an_orphan_under_a_key_closes_only_by_itself(
    session_id: str | None, closes_by_id: bool, by_itself: bool
) -> None:
    placement = a_placement(session_id=session_id)
    assert closes_by_its_own_end(placement, closes_by_id=closes_by_id) is by_itself


@pytest.mark.parametrize(
    ("end", "now", "past"),
    [(None, T0, False), (T0, None, False), (T0, T0 - SECOND, False), (T0, T0, True)],
)
def test_a_declared_end_that_has_passed_is_a_proof(
    end: datetime | None, now: datetime | None, past: bool
) -> None:
    assert is_past_its_end(a_placement(declared_end_at=end), now) is past


@pytest.mark.parametrize(("refusals", "minutes"), [(1, 1), (2, 2), (6, 32), (7, 60), (99, 60)])
def test_a_refused_model_is_tried_again(refusals: int, minutes: int) -> None:
    assert alarms.retry_at(AlarmKind.MODEL_PAUSED, refusals, T0) == T0 + timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("pinged", "since", "after"),
    [
        pytest.param(None, None, 0, id="no ping is claimed"),
        pytest.param(0, None, 1.1, id="one was claimed now"),
        pytest.param(-0.5, None, 0.6, id="and just before"),
        pytest.param(-5, None, 0, id="and can no longer begin"),
        pytest.param(None, T0 - MINUTE, 0, id="it was to be closed before"),
    ],
)
def test_a_close_waits_until_no_ping_can_begin(
    pinged: float | None, since: datetime | None, after: float
) -> None:
    placement = a_placement(closing_since=since, attempts=3)
    pinged_since = None if pinged is None else T0 + pinged * SECOND
    assert closing(placement, pinged_since, 1.0, T0) == replace(
        placement,
        state=PlacementState.CLOSING,
        closing_since=since or T0,
        due=Due(Step.CLOSE, T0 + after * SECOND),
        attempts=0,
    )


@pytest.mark.parametrize("state", [PlacementState.CLOSED, PlacementState.NEVER_OPENED])
def test_nothing_follows_the_end(state: PlacementState) -> None:
    placement = a_placement(attempts=3, due=Due(Step.CLOSE, T0), **LEASED)
    assert ended(placement, state, "404", T0) == replace(
        placement, state=state, proof="404", ended_at=T0, due=None, lease=None, attempts=0
    )


@pytest.mark.parametrize(
    ("early", "is_over", "ours"), [(0, False, True), (60, False, True), (61, False, False), (0, True, False)]
)
def test_what_ends_sooner_than_asked_is_not_ours(early: int, is_over: bool, ours: bool) -> None:
    assert lasts_as_asked(T0, T0 - early * SECOND, is_over=is_over) is ours


@pytest.mark.parametrize(
    ("end", "closes_by_id", "at"),
    [(None, False, T0), (T0 - MINUTE, False, T0), (T0 + MINUTE, False, T0 + MINUTE), (T0 + MINUTE, True, T0)],
)
def test_an_orphan_that_only_ends_by_itself_is_looked_at_then(
    end: datetime | None, closes_by_id: bool, at: datetime
) -> None:
    assert orphan_closes_at(end, T0, closes_by_id=closes_by_id) == at


@pytest.mark.parametrize(
    ("changes", "may"),
    [
        ({"due": Due(Step.CLOSE, T0 + MINUTE)}, True),
        ({"due": Due(Step.CLOSE, T0 + MINUTE), "lease": Lease("t", T0)}, True),
        ({"due": Due(Step.CLOSE, T0 + MINUTE), "lease": Lease("t", T0 + SECOND)}, False),
        ({"due": Due(Step.RESOLVE, T0 + MINUTE)}, False),
        ({}, False),
    ],
)
def test_only_a_close_that_nobody_tries_now_comes_out_of_turn(changes: dict[str, Any], may: bool) -> None:
    assert may_close_at_once(a_placement(**changes), T0) is may
