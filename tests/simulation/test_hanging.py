"""Where half of a provider's endpoints hang, the others are pinged at the configured interval."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from orchestrator.rules.values import Plan, Policy
from orchestrator.store import migrate
from orchestrator.store.database import Database
from tests.simulation.kernel import VirtualLoop, run
from tests.simulation.process_faults import Calm
from tests.simulation.universe import Universe
from tests.upstreams import KIND, Upstream

#: Of each kind: those that answer, and those that hang.
HALF = 20
INTERVAL = 30
#: The hanging endpoints want more concurrent calls than there are slots: each takes its timeout of 30 s, again and
#: again.
IN_FLIGHT = 6
#: Seconds between two reads of the rows: no two pings of a session are as close.
LOOK = 10
MINUTES = 3
#: Hanging sessions are not closed, so that they keep hanging.
POLICY = Policy(ping_interval_seconds=INTERVAL, ping_timeout_seconds=30, dead_after_failures=10_000)
PLANS = {"contract": Plan(name="contract", max_duration_seconds=86_400)}
ALPHA = Upstream(name="alpha", driver="openai", upstream={"models": ["well-1", "hung-1"]})


@pytest.mark.parametrize("hangs", [("chat",), ("chat", "models")], ids=["it looks busy", "it looks dead"])
def test_endpoints_that_hang_do_not_stretch_the_interval_of_the_others(
    tmp_path: Path, hangs: tuple[str, ...]
) -> None:
    logging.disable(logging.CRITICAL)
    database = Database(f"sqlite:///{tmp_path / 'hanging.db'}")
    migrate.upgrade(database)
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    world = Universe(loop, database, seed=1, faults=Calm(), policy=POLICY, plans=PLANS, platforms=[ALPHA])
    few = {name: replace(one, max_in_flight=IN_FLIGHT) for name, one in world.config.providers.items()}
    world.config = replace(world.config, providers=few)
    intervals = run(loop, _intervals(world, hangs))
    world.close()
    database.dispose()
    assert len(intervals) == HALF
    assert min(map(len, intervals)) >= MINUTES * 60 / INTERVAL / 2
    assert max(map(median, intervals)) <= 1.5 * INTERVAL


async def _intervals(world: Universe, hangs: tuple[str, ...]) -> list[Sequence[float]]:
    """Return the seconds between the pings of each session that answers, while the others hang."""
    await world.start_worker()
    driving = world.loop.create_task(world.drive(1e9))
    await world.open_account("acme", "contract", "10000")
    for model in ("well", "hung"):
        names = {"providers": ["alpha"], "provider_model_ids": {"alpha": f"{model}-1"}}
        await world.done("model.put", id=model, **names, **KIND)
    created = {
        model: [
            str((await world.done("session.create", account_id="acme", model_id=model))["id"])
            for _ in range(HALF)
        ]
        for model in ("well", "hung")
    }
    await asyncio.sleep(2 * INTERVAL)
    for operation in hangs:
        of_one_model = {"model": "hung-1"} if operation == "chat" else {}
        world.operator.add_fault(
            {"name": "hang", "upstream": "alpha", "operation": operation, **of_one_model}
        )
    await asyncio.sleep(6 * INTERVAL)  # at first, each of them hangs unexpectedly
    seen: dict[str, set[datetime]] = defaultdict(set)
    for _ in range(MINUTES * 60 // LOOK):
        await asyncio.sleep(LOOK)
        with world.database.reading() as tx:
            for session in tx.sessions.listed(account_id="acme", limit=1000):
                assert session.state == "running"
                assert session.last_ping_at is not None
                seen[session.id].add(session.last_ping_at)
    driving.cancel()
    return [
        [(later - at).total_seconds() for at, later in pairwise(sorted(seen[id_]))] for id_ in created["well"]
    ]
