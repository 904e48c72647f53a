"""A process that dies at the k-th point: before or after any commit, before or after any call to a provider.

The points are not listed anywhere: a first run of each story counts them."""

import asyncio
import logging
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.store import migrate
from orchestrator.store.database import Database
from tests.simulation.crash import Crash
from tests.simulation.crash_stage import PLANS, POLICY, Stage, Story
from tests.simulation.evidence import Evidence
from tests.simulation.invariants import violations
from tests.simulation.kernel import VirtualLoop, run
from tests.simulation.platforms import PLATFORMS
from tests.simulation.universe import Universe, copy_of
from tests.upstreams import Upstream


@dataclass(kw_only=True)
class StoryRun:
    """The result of one run of a story."""

    story: str
    at: int | None
    points: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    """`driver.method` of each call of a driver."""
    broken: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)

    @property
    def where(self) -> str:
        return self.points[self.at - 1] if self.at and self.at <= len(self.points) else "nowhere"


class Theatre:
    """Plays stories over one database file, and keeps its compiled statements."""

    def __init__(self, directory: Path) -> None:
        self._template = directory / "template.db"
        self._path = directory / "story.db"
        fresh = Database(f"sqlite:///{self._template}")
        migrate.upgrade(fresh)
        fresh.dispose()
        self._database = Database(f"sqlite:///{self._path}")
        logging.disable(logging.CRITICAL)

    def run_story(self, story: Story, at: int | None = None) -> StoryRun:
        """Play the story once, with a crash at that point, until everything is at rest."""
        self._database.dispose()
        copy_of(self._template, self._path)
        random.seed(1)
        loop = VirtualLoop()
        asyncio.set_event_loop(loop)
        crash = Crash(at)
        universe = Universe(
            loop,
            self._database,
            seed=1,
            faults=crash,
            policy=POLICY,
            plans=PLANS,
            platforms=platforms_of(story),
        )
        story_run = StoryRun(story=story.name, at=at, points=crash.points, asked=crash.asked)
        try:
            run(loop, _play(universe, story, story_run, crash))
        except Exception as error:  # noqa: BLE001  (a story that breaks off is a finding)
            story_run.broken.append(_broke_off(error))
        else:
            if at is None:
                story_run.broken += crash.awaited_in_vain()
        finally:
            universe.close()
        story_run.last = list(universe.last)
        return story_run


async def _play(universe: Universe, story: Story, story_run: StoryRun, crash: Crash) -> None:
    stage = Stage(universe, story, crash)
    others = [
        universe.loop.create_task(_one_worker(universe, crash)),
        universe.loop.create_task(_drive(universe)),
    ]
    await stage.set_up()
    try:
        await story.plot(stage)
    except Exception as error:  # noqa: BLE001  (what is broken by then is reported as well)
        story_run.broken.append(_broke_off(error))
    universe.simulator.faults.clear()
    if not await universe.rests(4 * 3600):
        story_run.broken += [f"never comes to rest: {row}" for row in universe.pending()[:5]]
    evidence = universe.evidence()
    story_run.broken += [str(violation) for violation in violations(evidence)]
    story_run.broken += [*opened_again(evidence), *without_an_outcome(evidence)]
    for task in others:
        task.cancel()


def _broke_off(error: Exception) -> str:
    return f"the story broke off: {type(error).__name__}: {error}"


def opened_again(evidence: Evidence) -> list[str]:
    """Return platforms that opened more than was ever intended: a blind second create, even one that was cleaned up."""
    intended = Counter(p.provider for p in evidence.placements if p.session_id is not None)
    opened = Counter(session.upstream for session in evidence.upstream)
    return [
        f"nothing is opened twice: {name} opened {opened[name]}, intended were {intended[name]}"
        for name in sorted(opened)
        if opened[name] > intended[name]
    ]


def without_an_outcome(evidence: Evidence) -> list[str]:
    """Return sessions that no job's outcome names: a job that was done twice made them."""
    answered = {str((outcome or {}).get("result", {}).get("id")) for outcome in evidence.inbox.values()}
    return [
        f"{id_} was created, and no outcome has its id" for id_ in evidence.sessions if id_ not in answered
    ]


async def _one_worker(universe: Universe, crash: Crash) -> None:
    while True:
        if not universe.alive:
            await universe.start_worker()
        await asyncio.sleep(1)
        if not universe.alive:
            await asyncio.sleep(crash.downtime - 1)


async def _drive(universe: Universe) -> None:
    while True:
        await universe.drive(universe.seconds + 3600)


def platforms_of(story: Story) -> list[Upstream]:
    """Return the platforms on which it is played."""
    return [
        replace(platform, **story.changes.get(platform.name, {}))
        for platform in PLATFORMS
        if platform.name in story.providers
    ]
