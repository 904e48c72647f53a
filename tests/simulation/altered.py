"""The evidence of a small world, and the same with something changed by hand."""

from dataclasses import replace
from typing import Any

from orchestrator.flows.operations.deliver_events import deliver_events
from tests.simulation.evidence import Evidence, gather
from tests.simulation.invariants import violations
from tests.world import World


def evidence_of(world: World) -> Evidence:
    """Return the evidence once every event is delivered."""
    deliver_events(world.services, [])
    return gather(
        world.services.database,
        world.services.config,
        world.clock.now,
        upstream=world.server.sessions(),
        calls=world.server.log(),
        exclusive=frozenset({"morph"}),
    )


def broken_in(evidence: Evidence) -> str:
    """Return every violation, a line each."""
    return "\n".join(str(violation) for violation in violations(evidence))


def with_session(evidence: Evidence, session_id: str, **changes: Any) -> Evidence:
    """Return the evidence with another row of this session."""
    changed = replace(evidence.sessions[session_id], **changes)
    return replace(evidence, sessions={**evidence.sessions, session_id: changed})


def with_placement(evidence: Evidence, session_id: str, **changes: Any) -> Evidence:
    """Return the evidence with other rows of its placements."""
    changed = [replace(p, **changes) if p.session_id == session_id else p for p in evidence.placements]
    return replace(evidence, placements=changed)
