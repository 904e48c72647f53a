"""Drawings and words: what is shown of times, money and spans."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.console import drawing, wording

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (90_061, "1 d 1 h"),
        (None, wording.NOTHING),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float | None, said: str) -> None:
    assert wording.span(seconds) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [("1234.5", "1,234.50 USD"), ("0.0031600", "0.00316 USD"), ("-2", "-2.00 USD"), (None, wording.NOTHING)],
)
def test_money_has_two_places_or_as_many_as_it_needs(text: str | None, said: str) -> None:
    assert wording.amount(text, "USD") == said


def test_a_time_is_told_from_now() -> None:
    assert wording.ago("2026-01-01T11:59:00Z", NOON) == "1 min ago"
    assert wording.ago("2026-01-01T12:00:30Z", NOON) == "in 30 s"


def test_lanes_cover_the_life_and_escape_what_others_said() -> None:
    life = {
        "from": "2026-01-01T12:00:00Z",
        "until": "2026-01-01T13:00:00Z",
        "states": [{"state": "running", "from": "2026-01-01T12:00:00Z", "until": "2026-01-01T12:30:00Z"}],
        "placements": [],
        "doubts": [
            {
                "from": "2026-01-01T12:15:00Z",
                "until": "2026-01-01T12:30:00Z",
                "verdict": "TRANSIENT",
                "detail": "<b>no</b>",
            }
        ],
    }
    state, pings = drawing.life(life)
    assert 'x="0.0" y="0" width="500.0"' in state.drawing
    assert 'class="tone-bad" x="250.0" y="0" width="250.0"' in pings.drawing
    assert "&lt;b&gt;no" in pings.drawing


def test_a_line_needs_two_points_and_keeps_within_its_frame() -> None:
    assert drawing.line([(NOON, 1.0)], "one") == ""
    line = drawing.line([(NOON, 0.0), (NOON + timedelta(minutes=1), 2.0)], "two")
    assert 'points="0.0,120.0 1000.0,4.0"' in line
