"""kill -9 of a real worker at every kind of point; the next worker continues its work."""

import itertools
import logging
import os
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.rules.states import State
from orchestrator.store.queries import leases
from orchestrator.store.transaction import Transaction
from orchestrator.tasks.ticks import TICKS
from orchestrator.tasks.wake_ups import queue_of
from tests.chaos.load import Load
from tests.processes.dying import DIED
from tests.processes.judging import judged, moves, wait_for_rest
from tests.processes.platform import Platform, Running, morpheus, openai
from tests.simulation.invariants import violations
from tests.upstreams import KIND
from tests.waiting import eventually

pytestmark = pytest.mark.long

log = logging.getLogger(__name__)

#: Model → how often it is asked for, and where it is served: one of them moves on when it dies.
MODELS = {"llama": 2, "moral": 3, "roam": 2}
SERVED = {"llama": ("alpha",), "moral": ("morph",), "roam": ("beta", "alpha")}
#: The points of an undisturbed worker are counted for this long. Seconds.
COUNTED_FOR = 15.0
#: A worker reaches one of the remaining points within this, or starts again; and all together. Seconds.
REACHED_WITHIN, SECONDS = 60.0, 600.0
#: Each worker gets a wake-up for ticks that come once in this long. Seconds.
SLOW = 30.0
#: This many kinds of point are found at least.
MANY = 20
#: With no point left, stops are judged for this long. Seconds.
PEACE = 20.0
#: On a busy machine. Everything is stamped by processes that may have waited for the processor.
LATE = timedelta(seconds=30)
#: The work of a killed worker is taken over this long after the next one is ready: the longest lease of this policy.
LEASES = timedelta(seconds=8)
POLICY = {"dead_after_failures": 2, "dead_after_seconds": 1, "brake_max_seconds": 5}


class Customers(Load):
    """Short sessions, some of which are to survive their platform."""

    def _create(self, rng: random.Random) -> tuple[str, dict[str, Any]]:
        model = rng.choices(list(self._models), list(self._models.values()))[0]
        stop = {"max_duration_seconds": rng.randint(3, 9)}
        asked = {"account_id": rng.choice(self._accounts), "model_id": model, "stop": stop}
        return "session.create", {**asked, "on_quota": "queue", "failover": model == "roam"}


@dataclass
class Deaths:
    """Where workers died, when, and from when on the next one had caught up."""

    points: list[str] = field(default_factory=list)
    troubles: list[tuple[datetime, datetime]] = field(default_factory=list)
    since: datetime | None = None
    """No worker has been ready since."""

    def died(self, at: datetime) -> None:
        self.ready(at)
        self.since = at

    def ready(self, at: datetime) -> None:
        if self.since is not None:
            self.troubles.append((self.since, at + LEASES))
        self.since = None


@pytest.mark.timeout(1500)
def test_a_worker_may_be_killed_at_every_point_where_it_touches_the_world(platform: Platform) -> None:
    set_up(platform)
    customers = Customers(
        platform.env["ORCHESTRATOR_BROKER_URL"], MODELS, ["acme"], clients=4, seed=1, wait_limit=3
    )
    deaths = Deaths()
    points = counted(platform, customers, deaths)
    assert len(points) > MANY, points
    chosen = share_of(points)
    kill_at_each(platform, chosen, deaths)
    healthy = platform.start("worker", name="healthy")
    eventually(lambda: is_ready(healthy), "a worker")
    deaths.ready(datetime.now(UTC))
    time.sleep(PEACE)
    customers.stop()
    close_what_waits(platform)
    wait_for_rest(lambda: moves(platform, ["acme"]), 180)
    seen = judged(platform, customers, deaths.troubles, late=LATE)
    log.warning("died at %d of %d points", len(deaths.points), len(chosen))
    assert {*chosen} - {*deaths.points} == set(), "counted, and never reached again"
    assert [str(one) for one in violations(seen)] == []
    ends = [one.stopped_at for one in seen.sessions.values() if one.stopped_at is not None]
    assert any(not is_excused(at, deaths) for at in ends), "no stop was judged without an excuse"


def share_of(points: list[str]) -> list[str]:
    """Return every POINTS_EVERY-th kind of point, beginning with the TURN-th; all of them where it is not set."""
    every, turn = (
        int(os.environ.get(name) or default) for name, default in (("POINTS_EVERY", 1), ("TURN", 0))
    )
    return points[turn % every :: every]


def close_what_waits(platform: Platform) -> None:
    """Close every queued session: the backlog that grew while workers died would take minutes to serve."""
    with platform.database.reading() as tx:
        waiting = tx.sessions.listed(account_id="acme", states=[State.QUEUED], limit=100_000)
    for session in waiting:
        platform.done("session.close", session_id=session.id)


def set_up(platform: Platform) -> None:
    """Put platforms that lose answers and sessions now and then."""
    simulator = platform.simulate(
        alpha=openai("sk-alpha"), beta=openai("sk-beta"), morph=morpheus("sk-m1", "sk-m2", "sk-m3")
    )
    platform.configure(POLICY, morph={"close_retry_seconds": 0.05, "opens_settle_within_seconds": 0})
    simulator.fault("cut_after_effect", upstream="morph", operation="open", probability=0.3)
    simulator.fault("dead", upstream="beta", operation="chat", probability=0.3)
    platform.start("scheduler")


def counted(platform: Platform, customers: Customers, deaths: Deaths) -> list[str]:
    """Return the points of an undisturbed worker, in any order."""
    worker = dying(platform, "counted")
    platform.open_account(plan="contract", amount="100000")
    for model_id, providers in SERVED.items():
        names = {name: "moral-1" if name == "morph" else "llama-3" for name in providers}
        chosen = {"providers": list(providers), "provider_model_ids": names}
        platform.done("model.put", id=model_id, **chosen, **KIND)
    customers.start()
    time.sleep(COUNTED_FOR)
    worker.kill_all()
    deaths.died(datetime.now(UTC))
    return sorted(set(points_of(platform, "counted")))


def kill_at_each(platform: Platform, points: list[str], deaths: Deaths) -> None:
    """Kill each worker at the first point where none has died yet; every third gets past it once. The next worker
    continues its work."""
    give_up_at = time.monotonic() + SECONDS
    for n in itertools.count():
        left = [point for point in points if point not in deaths.points]
        if not left or time.monotonic() > give_up_at:
            return
        name = f"victim-{n}"
        bring_slow_ticks(platform)
        worker = dying(platform, name, DYING_AT="\n".join(left), DYING_NTH="2" if n % 3 == 2 else "1")
        if died_by_itself(worker, deaths):
            last = points_of(platform, name)[-1]
            assert last.startswith(DIED), f"{name} ended before it came to its point"
            deaths.points.append(last.removeprefix(DIED))


def bring_slow_ticks(platform: Platform) -> None:
    """Wake the ticks that come once a minute; the dead worker's lease, which may last for five minutes, is ended."""
    platform.database.transact(end_slow_leases)
    for name, tick in TICKS.items():
        if SLOW <= tick.every_seconds <= REACHED_WITHIN:
            platform.jobs.wake(name, queue_of(tick.kind))


def end_slow_leases(tx: Transaction) -> None:
    """End the leases of flows that come rarely; the scheduler's, and that of events, end soon by themselves."""
    for name in ("audit", "read_balances"):
        tx.connection.execute(update(leases.LEASES).where(leases.LEASES.c.name == name).values(holder=""))


def died_by_itself(worker: Running, deaths: Deaths) -> bool:
    """Return whether it reached its point; if not, kill it where it is."""
    give_up_at, ready = time.monotonic() + REACHED_WITHIN, False
    while worker.process.poll() is None and time.monotonic() < give_up_at:
        if not ready and is_ready(worker):
            ready = True
            deaths.ready(datetime.now(UTC))
        time.sleep(0.05)
    reached = worker.process.poll() is not None
    if not reached:
        worker.kill_all()
    deaths.died(datetime.now(UTC))
    return reached


def is_ready(worker: Running) -> bool:
    """Return whether all five kinds of work have begun."""
    return worker.text().count(" ready.") == 5


def is_excused(at: datetime, deaths: Deaths) -> bool:
    return any(begun <= at <= over for begun, over in deaths.troubles)


def points_of(platform: Platform, name: str) -> list[str]:
    """Return the points of a worker, in order."""
    return (platform.directory / f"{name}.points").read_text().splitlines()


def dying(platform: Platform, name: str, **where: str) -> Running:
    """Start a worker that notes its points."""
    log = str(platform.directory / f"{name}.points")
    return platform.start("worker", name=name, module="tests.processes.dying", DYING_LOG=log, **where)
