"""Durations as they are shown, and read again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.durations import LONGEST_DURATION, duration_text, parse_duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3601, "1 h"),
        (7500, "2 h 5 min"),
        (90061, "1 d 1 h"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert duration_text(seconds) == said


@given(seconds=st.integers(0, LONGEST_DURATION))
def test_what_is_shown_is_read_again_up_to_its_smallest_unit(seconds: int) -> None:
    shown = duration_text(seconds, most=4)
    assert parse_duration(shown.replace(" ", "")) is not None
    left = seconds - (parse_duration(shown.replace(" ", "")) or 0)
    assert 0 <= left < 86_400
