"""Faults of the platforms, drawn from a seed: rare ones on lifecycle calls always, storms over pings now and then.

Pings fail only in storms, and a storm is shorter than `dead_after_seconds`. Then the sky is clear for so long that
every session with a failed ping is pinged at least once before the next storm: a retry comes within half a minute, all
other pings within the interval, which ends in clear sky too. So no healthy session can look dead in any storm: a streak
that spans a minute would need a failure under clear sky. In an hour without that gap a session may well fail thrice
over a minute, and then the rules are right to call it dead.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from orchestrator.simulator import SimulatorServer

#: The time from one storm to the next, and a storm's share of it. Shorter than `dead_after_seconds`.
CYCLE, STORM = timedelta(seconds=420), timedelta(seconds=45)
#: Of each: how often a lifecycle call meets it outside storms.
DRIZZLE = 0.03

#: Faults of pings in a storm, and their probability then.
SQUALLS: tuple[tuple[str, dict[str, Any], float], ...] = (
    ("dead", {}, 0.6),
    ("dead", {"how": "error"}, 0.3),
    ("cut_before_effect", {}, 0.5),
    ("cut_after_effect", {}, 0.5),
    ("cut_in_body", {}, 0.3),
    ("error_before", {}, 0.5),
    ("error_after_effect", {}, 0.3),
    ("loading", {"retry_after": 5}, 0.4),
    ("loading", {}, 0.4),
    ("throttled", {"retry_after": 20}, 0.1),
    ("throttled", {"retry_after": 15, "style": "date"}, 0.1),
    ("throttled", {}, 0.5),
    ("html", {"status": 502}, 0.5),
    ("html", {"status": 403}, 0.3),
    ("html", {"status": 404}, 0.3),
    ("invalid_json", {}, 0.3),
    ("empty_choices", {}, 0.3),
    ("error_in_200", {}, 0.4),
    ("redirect", {"location": "http://127.0.0.1:9/elsewhere"}, 0.2),
    ("unauthorized", {}, 0.2),
    ("forbidden", {}, 0.2),
    ("out_of_balance", {}, 0.2),
    ("out_of_balance", {"status": 429}, 0.2),
    ("slow", {"seconds": 0.3}, 0.1),
    ("max_tokens_reached", {}, 0.3),
    ("refuses_max_tokens", {}, 0.3),
)
#: Faults of only a few pings in a storm: each takes a whole timeout, or would end a session if it came twice.
RARITIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hang", {}),
    ("hang", {"effect": True}),
    ("gone", {}),
    ("huge_body", {"size_bytes": 8 * 1024 * 1024}),
)
#: Faults of lifecycle calls at any time.
SHOWERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("cut_before_effect", {}),
    ("cut_after_effect", {}),
    ("cut_in_body", {}),
    ("error_before", {}),
    ("error_after_effect", {}),
    ("throttled", {"retry_after": 20}),
    ("html", {"status": 502}),
    ("invalid_json", {}),
    ("slow", {"seconds": 0.2}),
)
LIFECYCLE = ("open", "create", "start", "close", "list", "status", "models", "key")


@dataclass
class Weather:
    """Faults at `upstreams`, by a seed."""

    server: SimulatorServer
    upstreams: tuple[str, ...]
    seed: int
    storms: int = 0
    _raging: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def begin(self) -> None:
        """Begin with the rare faults."""
        for operation in LIFECYCLE:
            for fault, params in SHOWERS:
                self.server.fault(fault, operation=operation, probability=DRIZZLE, **params)
            self.server.fault("close_fails", operation="close", probability=DRIZZLE)

    def turn(self, since: timedelta) -> None:
        """Start a storm at the start of each cycle, and end it within."""
        stormy = since % CYCLE < STORM
        if stormy and not self._raging:
            self.storms += 1
            self._raging = [rule for upstream in self.upstreams for rule in self._storm(upstream)]
        elif not stormy:
            self._calm()

    def end(self) -> None:
        """End all faults for good."""
        self.server.clear_faults()
        self._raging = []

    def _calm(self) -> None:
        for rule in self._raging:
            self.server.remove_fault(rule)
        self._raging = []

    def _storm(self, upstream: str) -> Iterator[str]:
        if self._random.random() < 0.5:
            attached = upstream == "fpt-attach"  # that it is gone is the only proof it has: a lie is believed
            fault, params = self._random.choice([one for one in RARITIES if not attached or one[0] != "gone"])
            yield self.server.fault(fault, upstream=upstream, operation="chat", times=1, **params)
        for fault, params, likely in self._random.sample(SQUALLS, 3):
            yield self.server.fault(fault, upstream=upstream, operation="chat", probability=likely, **params)
