"""kill -9 of a real worker at every kind of point where it touches the world; the next one finds what it left."""

import logging
import random
import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.chaos.load import Load
from tests.processes.judging import judged, moves
from tests.processes.platform import Platform, Running, eventually, morpheus, openai
from tests.simulation.invariants import violations

log = logging.getLogger(__name__)

#: Model → how often it is asked for, and where it is served: one of them moves on when it dies.
MODELS = {"llama": 2, "moral": 3, "roam": 2}
SERVED = {"llama": ("alpha",), "moral": ("morph",), "roam": ("beta", "alpha")}
#: The points of a worker that nobody kills are counted for so long. Seconds.
COUNTED_FOR = 15.0
#: A worker begins, and gets to its point, within this; else the point is a rare one. Seconds.
REACHED_WITHIN = 60.0
#: Every kind of point on a quiet machine; on a busy one, those that are reached in time, and so many at least.
SECONDS, FEWEST = 300.0, 10
#: So many kinds of point are found at least.
MANY = 20
KIND = {"type": "LLM", "size": "8B", "learning_stage": "Instruction-tuned", "currency": "USD"}
#: On a busy machine. Everything is stamped by processes that may have waited for the processor.
LATE = timedelta(seconds=30)
POLICY = {"dead_after_failures": 2, "dead_after_seconds": 1, "brake_max_seconds": 5}


class Customers(Load):
    """Short sessions, some of which are to survive their platform."""

    def _create(self, rng: random.Random) -> tuple[str, dict[str, Any]]:
        model = rng.choices(list(self._models), list(self._models.values()))[0]
        stop = {"max_duration_seconds": rng.randint(3, 9)}
        asked = {"account_id": rng.choice(self._accounts), "model_id": model, "stop": stop}
        return "session.create", {**asked, "on_quota": "queue", "failover": model == "roam"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_may_be_killed_at_every_point_where_it_touches_the_world(platform: Platform) -> None:
    began = set_up(platform)
    customers = Customers(
        platform.env["ORCHESTRATOR_BROKER_URL"], MODELS, ["acme"], clients=4, seed=1, patience=3
    )
    points = counted(platform, customers)
    assert len(points) > MANY, points
    deaths = killed_one_after_another(platform, points)
    log.warning("died at %d of %d; not at: %s", len(deaths), len(points), sorted({*points} - {*deaths}))
    assert len(deaths) >= FEWEST, deaths
    platform.start("worker", name="healthy")
    customers.stop()
    eventually(lambda: not moves(platform, ["acme"]), "peace", 180)
    seen = judged(platform, customers, [(began, began + timedelta(hours=1))], late=LATE)
    assert [str(one) for one in violations(seen)] == []
    assert len(seen.sessions) > MANY


def set_up(platform: Platform) -> datetime:
    """Platforms that lose answers and sessions now and then. When it began, by the store's clock."""
    simulator = platform.simulate(
        alpha=openai("sk-alpha"), beta=openai("sk-beta"), morph=morpheus("sk-m1", "sk-m2", "sk-m3")
    )
    platform.configure(POLICY, morph={"close_retry_seconds": 0.05, "opens_settle_within_seconds": 0})
    simulator.fault("cut_after_effect", upstream="morph", operation="open", probability=0.3)
    simulator.fault("dead", upstream="beta", operation="chat", probability=0.3)
    platform.start("scheduler")
    with platform.database.reading() as tx:
        return tx.now()


def counted(platform: Platform, customers: Customers) -> list[str]:
    """The points that a worker comes by which nobody kills, in any order."""
    worker = dying(platform, "counted")
    platform.open_account(plan="contract", amount="100000")
    for model_id, providers in SERVED.items():
        names = {name: "moral-1" if name == "morph" else "llama-3" for name in providers}
        chosen = {"providers": list(providers), "provider_model_ids": names}
        platform.done("model.put", id=model_id, price_per_node_hour="1.20", **chosen, **KIND)
    customers.start()
    time.sleep(COUNTED_FOR)
    worker.kill_all()
    seen = Counter((platform.directory / "counted.points").read_text().splitlines())
    points = sorted(seen)
    random.Random(1).shuffle(points)
    return points


def killed_one_after_another(platform: Platform, points: list[str]) -> list[str]:
    """Each worker goes on with what the one before has left, until it gets to its own point. Where they died."""
    deaths: list[str] = []
    give_up_at = time.monotonic() + SECONDS
    for n, point in enumerate(points):
        if time.monotonic() > give_up_at and len(deaths) >= FEWEST:
            break
        worker = dying(platform, f"victim-{n}", DYING_AT=point, DYING_NTH=str(1 + n % 3 // 2))
        try:
            worker.wait(REACHED_WITHIN)
            deaths.append(point)
        except AssertionError:  # it is a rare one
            worker.kill_all()
    return deaths


def dying(platform: Platform, name: str, **where: str) -> Running:
    """A worker that writes down the points that it comes by."""
    log = str(platform.directory / f"{name}.points")
    return platform.start("worker", name=name, module="tests.processes.dying", DYING_LOG=log, **where)
