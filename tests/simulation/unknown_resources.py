"""Sessions that appear at a platform without an open of ours: ours by their name, or foreign."""

import random
import uuid

from orchestrator.rules.reconcile.installations import placement_id
from orchestrator.simulator.platforms.sesterce_fleet import Fleet
from tests.simulation.universe import Universe
from tests.upstreams import MODEL

#: They outlive the day: only a close ends them. Seconds.
LASTS = 7 * 86400.0
#: Upstream → how our names begin there; None: its sessions have no names, and everything of its wallet is ours.
NAMED = {"node": None, "cloud": "orchestrator-", "studio": ""}


def plant(universe: Universe, rng: random.Random, upstream: str) -> None:
    """Plant a session that must be closed, or, where sessions have names, a foreign one, which must never be."""
    if upstream not in NAMED or universe.unknown_resources(upstream):
        return  # with more than a few, reconcile would touch none
    ours = universe.installation()
    prefix = NAMED[upstream]
    foreign = prefix is not None and (ours is None or rng.random() < 0.4)
    if prefix is None:
        name = ""
    elif foreign:
        name = rng.choice(_foreign_names(rng, prefix))
    else:
        name = f"{prefix}{placement_id(ours or '', rng.getrandbits(128))}"
    opened = _opened(universe, upstream, None if prefix is None else name)
    if foreign:
        universe.foreign.add(opened)
    universe.counts.faults["foreign session appears" if foreign else "unknown session appears"] += 1
    universe.note(upstream, f"has {opened[:12]}, called {name}, by itself")


def _foreign_names(rng: random.Random, prefix: str) -> tuple[str, str, str]:
    """Return names of a person, of another installation, and of a former release, which did not name its
    installation."""
    another = placement_id(f"{rng.getrandbits(32):08x}", rng.getrandbits(128))
    unnamed = uuid.UUID(int=rng.getrandbits(128), version=4)
    return "made-by-hand", f"{prefix}{another}", f"{prefix}{unnamed}"


def _opened(universe: Universe, upstream: str, name: str | None) -> str:
    world, platform = universe.simulator, universe.platforms[upstream]
    there = world.upstreams[upstream]
    model = there.model(MODEL)
    assert model is not None
    key, *_ = platform.secrets.values()
    if platform.driver == "sesterce":
        return Fleet(world, there).create(key, name or "", model.id, "l40s").run
    return world.sessions.open(upstream=upstream, key=key, model=model.id, seconds=LASTS, label=name).id
