"""A machine is played again, with other seeds, until what is rare has happened."""

from collections import Counter
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.lives import RUNS, play_lives, too_rare

FEW = settings(max_examples=3, stateful_step_count=3, deadline=None)


def machine_of(drawn: list[list[int]]) -> type[RuleBasedStateMachine]:
    class Drawing(RuleBasedStateMachine):
        @rule(number=st.integers(0, 2**64))
        def draw(self, number: int) -> None:
            drawn[-1].append(number)

    return Drawing


def config_with(given: str | None) -> pytest.Config:
    return cast(pytest.Config, SimpleNamespace(getoption={"--hypothesis-seed": given}.__getitem__))


def runs_of(given: str | None, *, derandomize: bool = False) -> list[list[int]]:
    lives = settings(FEW, derandomize=derandomize, database=None)
    drawn: list[list[int]] = [[]]

    def never_enough() -> dict[str, int]:
        drawn.append([])
        return {"what never happens": 0}

    with pytest.raises(AssertionError, match=r"too rare to prove anything.*what never happens"):
        play_lives(machine_of(drawn), lives, never_enough, config_with(given))
    return drawn[:-1]


def test_each_run_has_a_seed_of_its_own_that_follows_from_the_given_one() -> None:
    first = runs_of("387")
    assert len({tuple(run) for run in first}) == RUNS
    assert runs_of("387") == first
    assert runs_of("388") != first


def test_without_a_seed_runs_differ_too() -> None:
    assert len({tuple(run) for run in runs_of(None)}) == RUNS


def test_where_hypothesis_draws_the_same_each_time_runs_differ_and_come_again() -> None:
    first = runs_of(None, derandomize=True)
    assert len({tuple(run) for run in first}) == RUNS
    assert runs_of(None, derandomize=True) == first


def test_a_run_that_shows_all_is_the_last() -> None:
    drawn: list[list[int]] = [[]]
    play_lives(machine_of(drawn), FEW, dict, config_with("1"))
    assert len(drawn) == 1
    assert drawn[0]


def test_too_rare_is_what_was_seen_less_often_than_it_must() -> None:
    seen = Counter({"a": 1, "b": 2})
    assert too_rare(seen, {"a": 1, "b": 3, "c": 1}) == {"b": 2, "c": 0}
