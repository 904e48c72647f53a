"""Every parameter set of a test runs in one of the turns, and two at least in each."""

from hypothesis import given
from hypothesis import strategies as st

from tests.shares import in_turn

NAMES = st.lists(st.text(max_size=5), min_size=1, max_size=40, unique=True)


@given(names=NAMES, share=st.integers(1, 9))
def test_all_turns_together_run_them_all(names: list[str], share: int) -> None:
    assert {name for turn in range(share) for name in in_turn(names, share, turn)} == set(names)


@given(names=NAMES, share=st.integers(1, 9), turn=st.integers(0))
def test_each_turn_runs_two_at_least_and_no_more_than_it_must(
    names: list[str], share: int, turn: int
) -> None:
    chosen = [*in_turn(names, share, turn)]
    assert min(2, len(names)) <= len(chosen) <= max(3, -(-len(names) // share))
