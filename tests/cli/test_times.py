"""Times for people."""

from datetime import UTC, datetime, timedelta

import pytest
import typer

from orchestrator.cli.shared.spans import instant_of, seconds_of, since_of
from orchestrator.cli.shared.times import away, when
from tests.cli.conftest import Cli
from tests.world import START, World


def test_a_time_is_reported_from_now_and_on_the_clock() -> None:
    later = (START + timedelta(minutes=5)).isoformat()
    assert when(later, START) == "in 5 min (12:05:00 UTC)"
    assert when((START - timedelta(days=2)).isoformat(), START) == "2 d ago (2025-12-30 12:00 UTC)"
    assert away(START.isoformat(), START) == "now"
    assert when(None, START) == ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("90s", 90),
        ("15m", 900),
        ("15 min", 900),
        ("1h30m", 5400),
        ("1 h 30 min", 5400),
        ("2d", 172_800),
        ("0.3", 0.3),
        (30.0, 30.0),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: object, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "1h-3m", "m", "1 0", "1e3", "1h x", "999999w", "٣"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="such as 90s, 15m, 1h30m or 2d"):
        seconds_of(text)


def test_since_is_a_day_a_time_or_how_long_ago() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert instant_of(since_of("1h30m"), now) == datetime(2026, 1, 31, 10, 30, tzinfo=UTC)
    assert instant_of(since_of("2026-01-30"), now) == datetime(2026, 1, 30, tzinfo=UTC)
    assert instant_of(since_of("2026-01-30T12:00+02:00"), now) == datetime(2026, 1, 30, 10, tzinfo=UTC)
    assert instant_of(since_of(None), now) is None
    with pytest.raises(typer.BadParameter, match="how long ago"):
        since_of("yesterday")


@pytest.mark.parametrize("text", ["0001-01-01T00:00+14:00", "0001-01-01", "9999-12-31T23:59-14:00", "3650d"])
def test_since_takes_times_at_the_end_of_the_calendar(cli: Cli, world: World, text: str) -> None:
    for words in (
        ["session", "list"],
        ["events"],
        ["account", "ledger", "acme"],
    ):
        assert cli(*words, "--since", text).code == 0


@pytest.mark.parametrize("text", ["20260131", "90", " 1.5 ", "2026.01.31"])
def test_how_long_ago_needs_a_unit(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="needs a unit"):
        since_of(text)


def test_every_option_that_takes_a_duration_reads_it_alike(cli: Cli) -> None:
    for words in (
        ["session", "create", "--account", "acme", "--model", "llama", "--max-duration"],
        ["session", "create", "--account", "acme", "--model", "llama", "--idle"],
        ["session", "create", "--account", "acme", "--model", "llama", "--wait-running"],
        ["session", "close", "x", "--timeout"],
        ["session", "extend", "x", "--max-duration"],
        ["model", "put", "m", "--max-duration"],
        ["token", "create", "--scope", "read", "--expires"],
    ):
        said = cli(*words, "soon")
        assert (said.code, "must be a duration" in said.err) == (2, True), said.err
