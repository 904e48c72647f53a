"""A turn is a share of everything; all turns together are everything."""

from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.turns import ALL_SEEDS, first_seed, sampled

POINTS = st.lists(st.sampled_from(["before commit of a", "after commit of a", "before open"]), max_size=40)


@given(st.sampled_from([1, 20, 40, 100, 200, ALL_SEEDS]), st.integers(0, 2**40))
def test_all_turns_together_play_every_seed_of_a_full_run(seeds: int, turn: int) -> None:
    turns = range(turn, turn + ALL_SEEDS // seeds)
    played = [seed for one in turns for seed in range(first_seed(one, seeds), first_seed(one, seeds) + seeds)]
    assert sorted(played) == list(range(1, ALL_SEEDS + 1))


def test_turn_zero_begins_with_the_first_seed() -> None:
    assert first_seed(0, 200) == first_seed(0, 5000) == first_seed(7, 5000) == 1


@given(POINTS, st.integers(1, 20), st.integers(0, 2**40))
def test_all_turns_together_try_every_point(points: list[str], share: int, turn: int) -> None:
    tried = {at for one in range(turn, turn + share) for at in sampled(points, share, one)}
    assert tried == set(range(1, len(points) + 1))


@given(POINTS, st.integers(1, 20), st.integers(0, 2**40))
def test_each_turn_tries_every_kind(points: list[str], share: int, turn: int) -> None:
    chosen = sampled(points, share, turn)
    assert {points[at - 1] for at in chosen} == set(points)
    assert len(chosen) <= len(points) // share + 1 + len(set(points))


@given(POINTS, st.integers(1, 20), st.integers(1, 4), st.integers(0, 2**40))
def test_kinds_take_turns(points: list[str], share: int, kinds: int, turn: int) -> None:
    tried = {at for one in range(turn, turn + kinds) for at in sampled(points, share, one, kinds)}
    assert {points[at - 1] for at in tried} == set(points)
    alone = sampled(points, share, turn, kinds)
    assert len(alone) <= len(points) // share + 1 + len(set(points)) // kinds + 1
