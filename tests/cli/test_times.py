"""Times for people."""

from datetime import timedelta

import pytest

from orchestrator.cli.times import away, span, when
from tests.world import START


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
def test_a_span_is_told_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_a_time_is_told_from_now_and_on_the_clock() -> None:
    later = (START + timedelta(minutes=5)).isoformat()
    assert when(later, START) == "in 5 min (12:05:00 UTC)"
    assert when((START - timedelta(days=2)).isoformat(), START) == "2 d ago (2025-12-30 12:00 UTC)"
    assert away(START.isoformat(), START) == "now"
    assert when(None, START) == ""
