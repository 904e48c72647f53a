"""The simulated world: upstreams, their sessions, their faults and what was asked of them."""

import random
import secrets
import time
from collections.abc import Callable
from typing import Any

from orchestrator.simulator.calllog import CallLog
from orchestrator.simulator.faultbook import FaultBook
from orchestrator.simulator.report import Report, summarise
from orchestrator.simulator.sessions import Sessions
from orchestrator.simulator.values import Upstream


class Simulator:
    """Plain state without locks: its server calls it from one event loop."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        token_hex: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self.clock = clock
        #: what ids are made of: unlike a seeded number, a made up one is never repeated after a restart
        self.token_hex = token_hex
        self.upstreams: dict[str, Upstream] = {}
        self.sessions = Sessions(clock, token_hex)
        #: upstream → id → an instance, for platforms where instances outlive their sessions
        self.fleets: dict[str, dict[str, Any]] = {}
        self.calls = CallLog(clock)
        self.faults = FaultBook(rng or random.Random(0))  # seeded: a failing run can be repeated

    def put_upstream(self, upstream: Upstream) -> None:
        """Create or replace; sessions opened before stay on record."""
        self.upstreams[upstream.name] = upstream

    def end_session(self, session_id: str, how: str) -> None:
        """End a session from the platform's side. Raises KeyError if it is unknown or has ended."""
        session = self.sessions.end(session_id, how)
        held = self.sessions.held(session.upstream, session.key)
        if how == "forgotten" and held is not None and held.id == session_id:
            self.sessions.release(session.upstream, session.key)

    def report(self) -> Report:
        return summarise(self.calls.read(), self.sessions.all())

    def reset(self) -> None:
        self.upstreams.clear()
        self.sessions.clear()
        self.fleets.clear()
        self.calls.clear()
        self.faults.clear()
