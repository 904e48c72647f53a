from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.states import (
    FAILURES,
    PLACEMENT_TRANSITIONS,
    SESSION_TRANSITIONS,
    TERMINAL,
    UNENDED,
    IllegalTransition,
    PlacementState,
    State,
    StopReason,
    checked,
    checked_placement,
    end_state,
)


@pytest.mark.parametrize(("current", "to"), list(product(State, State)))
def test_a_session_changes_only_as_its_table_says(current: State, to: State) -> None:
    if to in SESSION_TRANSITIONS[current]:
        assert checked(current, to) is to
    else:
        with pytest.raises(IllegalTransition, match=f"a {current} session cannot become {to}"):
            checked(current, to)


@pytest.mark.parametrize(("current", "to"), list(product(PlacementState, PlacementState)))
def test_a_placement_changes_only_as_its_table_says(current: PlacementState, to: PlacementState) -> None:
    if to in PLACEMENT_TRANSITIONS[current]:
        assert checked_placement(current, to) is to
    else:
        with pytest.raises(IllegalTransition):
            checked_placement(current, to)


def test_every_state_is_in_its_table() -> None:
    assert set(SESSION_TRANSITIONS) == set(State)
    assert set(PLACEMENT_TRANSITIONS) == set(PlacementState)


@pytest.mark.parametrize(("state", "to"), list(product(sorted(TERMINAL), State)))
def test_a_terminal_session_stays_terminal(state: State, to: State) -> None:
    with pytest.raises(IllegalTransition):
        checked(state, to)


@pytest.mark.parametrize("state", sorted(set(PlacementState) - UNENDED))
def test_an_ended_placement_stays_ended(state: PlacementState) -> None:
    assert PLACEMENT_TRANSITIONS[state] == frozenset()


@given(st.lists(st.sampled_from(State), max_size=30))
def test_no_walk_through_the_table_leaves_an_end_again(targets: list[State]) -> None:
    walk = [State.CREATED]
    for target in targets:
        if target in SESSION_TRANSITIONS[walk[-1]]:
            walk.append(checked(walk[-1], target))
    assert all(before not in TERMINAL for before, _ in pairwise(walk))


@pytest.mark.parametrize("reason", StopReason)
def test_once_it_ran_a_session_never_ends_as_failed(reason: StopReason) -> None:
    assert end_state(reason, ever_ran=True) is State.STOPPED
    assert end_state(reason, ever_ran=False) is (State.FAILED if reason in FAILURES else State.STOPPED)
