"""What an operator does to the world, over HTTP or in process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.simulator.platforms import PLATFORMS
from orchestrator.simulator.specs import BadInput, read_ending, read_fault, read_upstream
from orchestrator.simulator.values import SimSession
from orchestrator.simulator.world import Simulator


class Operator:
    """Checks an order, then carries it out."""

    def __init__(self, world: Simulator, forget: Callable[[], None] = lambda: None) -> None:
        self.world = world
        self._forget = forget

    def put_upstream(self, name: str, given: Any, origin: str) -> str:
        """Create or replace an upstream; its base URL is the answer."""
        upstream = read_upstream(name, given)
        self.world.put_upstream(upstream)
        return PLATFORMS[upstream.kind].base_url(origin, name)

    def upstreams(self, origin: str) -> list[dict[str, Any]]:
        return [
            {**upstream.as_json(), "base_url": PLATFORMS[upstream.kind].base_url(origin, upstream.name)}
            for upstream in self.world.upstreams.values()
        ]

    def add_fault(self, given: Any) -> str:
        return self.world.faults.add(read_fault(given, self.world.upstreams))

    def end_session(self, session_id: str, how: Any) -> SimSession:
        """End a session from the platform's side."""
        ending = read_ending(how)
        session = self.world.sessions.get(session_id)
        if session is None:
            raise BadInput("no such session", status=404)
        if not session.is_open:
            raise BadInput(f"the session has ended before: {session.closed_by}", status=409)
        self.world.end_session(session_id, ending)
        return self.world.sessions.get(session_id) or session

    def reset(self) -> None:
        """Begin again with an empty world."""
        self._forget()
        self.world.reset()

    def preload(self, path: Path) -> None:
        """Arrange the world from a file: `{"upstreams": {name: …}, "faults": […]}`."""
        try:
            given = json.loads(path.read_text())
        except (OSError, ValueError) as wrong:
            raise BadInput(f"cannot read {path}: {wrong}") from None
        if not _has_shape(given):
            raise BadInput(f'{path}: expected {{"upstreams": {{…}}, "faults": […]}}')
        for name, upstream in given.get("upstreams", {}).items():
            self.put_upstream(name, upstream, "")
        for fault in given.get("faults", []):
            self.add_fault(fault)


def _has_shape(given: Any) -> bool:
    if not isinstance(given, dict) or set(given) - {"upstreams", "faults"}:
        return False
    return isinstance(given.get("upstreams", {}), dict) and isinstance(given.get("faults", []), list)
