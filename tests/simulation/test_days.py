"""A seed is the same day whenever it is played; a crash at a point is reported where it belongs."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.store import migrate
from orchestrator.store.database import Database
from tests.simulation import day
from tests.simulation.coverage import committing
from tests.simulation.crash_stories import STORIES
from tests.simulation.crashes import Theatre
from tests.simulation.day import WORKERS, Days, _Day
from tests.simulation.kernel import Moment, Stuck, VirtualLoop, run
from tests.simulation.turns import sampled


def test_a_seed_is_the_same_day_again_and_nothing_breaks_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day, "FAULTY", 3.5 * day.HOUR)  # whole days are `make simulation`
    days = Days(tmp_path)
    first, again, other = days.play(3), days.play(3), days.play(4)
    assert first.violations == other.violations == []
    assert first.digest == again.digest != other.digest
    assert first.jobs > 30
    assert first.closes > 0
    assert first.archived > 0


def test_a_process_may_die_at_any_point_of_a_session(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    [story] = [story for story in STORIES if story.name == "closed while it opens, at morph"]
    whole = theatre.run_story(story)
    assert whole.broken == []
    for at in sampled(whole.points, 5):
        crashed = theatre.run_story(story, at)
        assert crashed.broken == [], f"crash {at}: {crashed.where}"


def test_the_functions_that_commit_are_found_in_the_code() -> None:
    assert {"open_due.OpeningStep.settle_one", "perform._perform", "batch._one"} <= committing()


def test_a_world_in_which_no_time_passes_says_so() -> None:
    async def busy() -> None:
        while True:
            await Moment()

    with pytest.raises(Stuck, match="no time passes"):
        run(VirtualLoop(), busy())


def test_workers_that_cannot_start_while_the_database_is_down_come_once_it_is_back(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'day.db'}")
    migrate.upgrade(database)
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    day = _Day(loop, database, 1)

    async def live() -> int:
        day._chaos.database_is_down = True
        supervisor = loop.create_task(day._replace_the_dead())
        day.universe.died.set()
        await asyncio.sleep(60)
        assert not day.universe.alive
        day._chaos.database_is_down = False
        await asyncio.sleep(60)
        supervisor.cancel()
        return len(day.universe.alive)

    assert run(loop, live()) == WORKERS
    day.universe.close()
    database.dispose()
