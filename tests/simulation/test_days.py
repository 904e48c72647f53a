"""A seed is the same day whenever it is played; a crash at a point is found where it belongs."""

from pathlib import Path

from tests.simulation.coverage import committing
from tests.simulation.crash_stories import STORIES
from tests.simulation.crashes import Theatre, sampled
from tests.simulation.day import Days


def test_a_seed_is_the_same_day_again_and_nothing_breaks_in_it(tmp_path: Path) -> None:
    days = Days(tmp_path)
    first, again, other = days.play(3), days.play(3), days.play(4)
    assert first.violations == other.violations == []
    assert first.digest == again.digest != other.digest
    assert first.jobs > 30
    assert first.closes > 0


def test_a_process_may_die_at_any_point_of_a_session(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    [story] = [story for story in STORIES if story.name == "closed while it opens, at morph"]
    whole = theatre.tell(story)
    assert whole.broken == []
    for at in sampled(whole.points, 5):
        crashed = theatre.tell(story, at)
        assert crashed.broken == [], f"crash {at}: {crashed.where}"


def test_the_functions_that_commit_are_found_in_the_code() -> None:
    assert {"open_due.settle_open", "jobs.perform", "upkeep._one"} <= committing()
