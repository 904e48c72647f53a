"""A day of one seed: hours with faults, hours without, and the invariants at the end of each."""

import asyncio
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.rules.billing.groups import FEW
from orchestrator.rules.values import Plan, Policy
from orchestrator.settings.configuration import BUILT_IN_PLANS
from orchestrator.store import migrate
from orchestrator.store.database import Database
from tests.money.archiving import LEAVING, archive_for_a_moment
from tests.simulation.customers import Customers
from tests.simulation.evidence import Evidence
from tests.simulation.invariants import violations
from tests.simulation.kernel import VirtualLoop, run
from tests.simulation.lasting import Lasting
from tests.simulation.machines import LOCAL_FAULTS
from tests.simulation.platforms import PLATFORMS
from tests.simulation.process_faults import COMES_BACK, FLAVOURS, Chaos, together
from tests.simulation.provider_faults import ProviderFaults
from tests.simulation.universe import Universe, copy_of

HOUR = 3600.0
#: Faults come for this long; two such spans, each followed by a quiet one, are a day.
FAULTY = 11 * HOUR
WORKERS = 3
#: Workers that die, pause or rest record no time for as long as this. A worker that starts then beside a clock that is
#: behind by less cannot see that it is behind. Seconds.
NOTICED = 1200.0
#: Flavours besides those of process_faults.
CLOCK_JUMPS = "the clock jumps"
#: Every account is computed as if its sessions were many.
LARGE_ACCOUNTS = "large accounts"


@dataclass(kw_only=True)
class Result:
    """The result of one seed."""

    seed: int
    hours: float = 0.0
    cpu: float = 0.0
    sessions: int = 0
    opens: int = 0
    closes: int = 0
    jobs: int = 0
    archived: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    last: list[str] = field(default_factory=list)
    digest: str = ""
    flavours: str = ""


class Days:
    """Plays seeds one after another over one database file, and keeps its compiled statements."""

    def __init__(self, directory: Path) -> None:
        self._template = directory / "template.db"
        self._path = directory / "day.db"
        fresh = Database(f"sqlite:///{self._template}")
        migrate.upgrade(fresh)
        fresh.dispose()
        self._database = Database(f"sqlite:///{self._path}")
        logging.disable(logging.CRITICAL)  # failures here are meant to happen

    def play(self, seed: int) -> Result:
        """Play the whole day."""
        self._database.dispose()
        copy_of(self._template, self._path)
        random.seed(seed)  # jitter and the waits of retries
        begun = time.process_time()
        loop = VirtualLoop()
        asyncio.set_event_loop(loop)
        day = _Day(loop, self._database, seed)
        result = Result(seed=seed, flavours=", ".join(day.flavours))
        try:
            run(loop, day.live(result))
        except Exception as error:  # noqa: BLE001  (a seed that cannot be played is a finding too)
            result.violations.append(f"the day broke off: {type(error).__name__}: {error}")
        finally:
            day.universe.close()
        result.cpu = time.process_time() - begun
        result.last, result.digest = list(day.universe.last), day.universe.digest()
        return result


class _Day:
    def __init__(self, loop: VirtualLoop, database: Database, seed: int) -> None:
        rng = random.Random(f"{seed}/day")
        self.flavours = [name for name in FLAVOURS if rng.random() < 0.5]
        self._chaos = Chaos(random.Random(f"{seed}/chaos"), together(self.flavours))
        lifecycles = rng.sample(["morph", "node", "cloud", "studio"], rng.choice((1, 1, 2)))
        names = {
            rng.choice(("alpha", "alpha", "aiml")),
            *lifecycles,
            *(["beta"] if rng.random() < 0.4 else []),
        }
        self._rng = rng
        if random.Random(f"{seed}/clock").random() < 0.5:
            self.flavours.append(CLOCK_JUMPS)
        if random.Random(f"{seed}/machines fail").random() < 0.5:
            self.flavours.append(LOCAL_FAULTS)
        if random.Random(f"{seed}/large accounts").random() < 0.5:
            self.flavours.append(LARGE_ACCOUNTS)
        self.universe = Universe(
            loop,
            database,
            seed=seed,
            faults=self._chaos,
            policy=_policy(rng),
            plans=_plans(),
            platforms=[platform for platform in PLATFORMS if platform.name in names],
            clock_ahead=rng.choice((0.0, 0.0, 2.0, -3.0)),
            checks_time=CLOCK_JUMPS in self.flavours,
            few_sessions=0 if LARGE_ACCOUNTS in self.flavours else FEW,
        )
        self._provider_faults = ProviderFaults(self.universe, random.Random(f"{seed}/provider faults"))
        self._lasting = Lasting(self.universe, seed)
        self.flavours += self._lasting.flavours
        self._customers = Customers(self.universe, random.Random(f"{seed}/customers"))

    async def live(self, result: Result) -> None:
        """Run faults, quiet, faults, quiet; then close everything."""
        world = self.universe
        for _ in range(WORKERS):
            await world.start_worker()
        for forever in (
            self._customers.live(600),
            self._provider_faults.inject(900),
            self._replace_the_dead(),
            self._outages(),
            self._clock_jumps(),
            world.machines.fail(),
        ):
            self._background = [*getattr(self, "_background", []), world.loop.create_task(forever)]
        driven = world.loop.create_task(self._drive_for_ever())
        await self._customers.arrive()
        self._background.append(world.loop.create_task(self._lasting.inject()))
        for number in itertools.count(1):
            self._switch(on=True)
            await asyncio.sleep(FAULTY)
            self._switch(on=False)
            if number == 2:
                break
            await self._quiet(result, f"quiet {number}")
        await self._quiet(result, "the evening")
        await self._customers.go_home()
        await self._quiet(result, "the end of the day")
        driven.cancel()
        self._sum_up(result, world.evidence())

    async def _quiet(self, result: Result, when: str) -> None:
        world = self.universe
        if not await world.rests(6 * HOUR):
            result.violations += [f"{when}: never comes to rest: {row}" for row in world.pending()[:5]]
        result.violations += [f"{when}: {violation}" for violation in violations(world.evidence())]
        result.violations += [f"{when}: {problem}" for problem in self._archived(result)]

    def _archived(self, result: Result) -> Iterator[str]:
        """Yield what would change if everything that is over were archived now."""
        for worker in self.universe.alive[:1]:
            services = replace(worker.services, database=self.universe.database)
            for retention in LEAVING:
                try:
                    result.archived += archive_for_a_moment(services, retention)
                except AssertionError as problem:
                    yield f"no sum changes with retention ({retention}): {problem}"

    async def _drive_for_ever(self) -> None:
        while True:
            await self.universe.drive(self.universe.seconds + 24 * HOUR)

    def _switch(self, *, on: bool) -> None:
        self._chaos.active = self._customers.active = self._provider_faults.active = self._lasting.active = on
        self.universe.machines.active = on and LOCAL_FAULTS in self.flavours
        if not on:
            self._provider_faults.clear()
            self.universe.machines.clear()
            self._chaos.database_is_down = False

    async def _replace_the_dead(self) -> None:
        """Start new workers, as a supervisor does, when some have died."""
        while True:
            await self.universe.died.wait()
            self.universe.died.clear()
            await asyncio.sleep(5)
            while len(self.universe.alive) < WORKERS:
                if not (await self.universe.start_worker()).alive:
                    await asyncio.sleep(5)  # the database is down, say: without time it stays so for ever

    async def _outages(self) -> None:
        """Kill all workers now and then, or take the database away for a while."""
        rng, world = random.Random(f"{self.universe.seed}/outages"), self.universe
        while True:
            await asyncio.sleep(rng.expovariate(1 / (4 * HOUR)))
            seconds = rng.uniform(20, 400)
            if not self._chaos.active:
                continue
            if "workers die" in self.flavours and rng.random() < 0.5:
                world.counts.faults["all workers killed"] += 1
                for worker in world.alive:
                    worker.kill()
                world.trouble(COMES_BACK)
            elif "the database fails" in self.flavours:
                world.counts.faults["database down"] += 1
                world.note("database", f"down for {seconds:.0f} s")
                world.trouble(seconds + COMES_BACK)
                self._chaos.database_is_down = True
                await asyncio.sleep(seconds)
                self._chaos.database_is_down = False

    async def _clock_jumps(self) -> None:
        """Set the clock of the store's host off now and then, by up to two hours, for seconds or for hours."""
        rng, world = random.Random(f"{self.universe.seed}/clock jumps"), self.universe
        while world.checks_time:
            await asyncio.sleep(rng.expovariate(1 / (2 * HOUR)))
            ahead, seconds = (
                rng.uniform(-2 * HOUR, 2 * HOUR),
                rng.choice((25, 300, 4000)) * rng.uniform(0.5, 1.5),
            )
            if not self._chaos.active:
                continue
            if ahead < 0:
                ahead -= NOTICED
            world.counts.faults[CLOCK_JUMPS] += 1
            world.note("clock", f"jumps by {ahead:+.0f} s for {seconds:.0f} s")
            world.store_is_ahead = ahead
            await asyncio.sleep(seconds)
            world.store_is_ahead = 0.0

    def _sum_up(self, result: Result, evidence: Evidence) -> None:
        world = self.universe
        result.hours = world.seconds / HOUR
        result.sessions = len(evidence.sessions)
        result.opens = len(evidence.upstream)
        result.closes = sum(session.closed_by in {"client", "ping"} for session in evidence.upstream)
        result.jobs = world.counts.jobs
        result.faults = +world.counts.faults


def _policy(rng: random.Random) -> Policy:
    """Return the default policy, or a hasty one."""
    if rng.random() < 0.3:
        return Policy(ping_interval_seconds=rng.choice((120.0, 300.0)))
    return Policy(
        ping_interval_seconds=rng.choice((300.0, 600.0)),
        ping_timeout_seconds=20,
        dead_after_failures=rng.choice((2, 3)),
        dead_after_seconds=rng.choice((20.0, 60.0)),
        open_timeout_seconds=90,
        close_timeout_seconds=60,
        resolve_after_seconds=200,
        start_timeout_seconds=rng.choice((400.0, 1200.0)),
        close_retry_max_seconds=rng.choice((60.0, 600.0)),
        unusable_after_seconds=300,
    )


def _plans() -> dict[str, Plan]:
    payg = Plan(name="payg", max_sessions=20, max_concurrent=2, max_nodes=2, queue_timeout_seconds=1800)
    return {**BUILT_IN_PLANS, "payg": payg}
