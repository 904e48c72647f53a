"""Faults of the platforms, drawn from a seed: rare ones on lifecycle calls always, bursts over pings now and then.

Pings fail only in bursts, and a burst is shorter than `dead_after_seconds`. Then the sky is clear for so long that
every session with a failed ping is pinged at least once before the next burst: a retry comes within half a minute, all
other pings within the interval, which ends in clear sky too. So no healthy session can look dead in any burst: a streak
that spans a minute would need a failure under clear sky. In an hour without that gap a session may well fail thrice
over a minute, and then the rules are right to call it dead.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from orchestrator.simulator import SimulatorServer
from tests.drivers import PlatformUnderTest

#: The time from one burst to the next, and a burst's share of it. Shorter than `dead_after_seconds`.
CYCLE, BURST = timedelta(seconds=420), timedelta(seconds=45)
#: Of each: how often a lifecycle call meets it outside bursts.
RATE = 0.03

#: Faults of pings in a burst, and their probability then.
BURST_FAULTS: tuple[tuple[str, dict[str, Any], float], ...] = (
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
#: Faults of only a few pings in a burst: each takes a whole timeout, or would end a session if it came twice.
RARE_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hang", {}),
    ("hang", {"effect": True}),
    ("gone", {}),
    ("huge_body", {"size_bytes": 8 * 1024 * 1024}),
)
#: Faults of lifecycle calls at any time.
LIFECYCLE_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
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
class FaultMix:
    """Faults at `platforms`, by a seed."""

    server: SimulatorServer
    platforms: tuple[PlatformUnderTest, ...]
    seed: int
    bursts: int = 0
    _active: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def begin(self) -> None:
        """Begin with the rare faults."""
        for operation in LIFECYCLE:
            for fault, params in LIFECYCLE_FAULTS:
                self.server.fault(fault, operation=operation, probability=RATE, **params)
            self.server.fault("close_fails", operation="close", probability=RATE)

    def turn(self, since: timedelta) -> None:
        """Start a burst at the start of each cycle, and end it within."""
        in_burst = since % CYCLE < BURST
        if in_burst and not self._active:
            self.bursts += 1
            self._active = [rule for platform in self.platforms for rule in self._burst(platform)]
        elif not in_burst:
            self._end_burst()

    def end(self) -> None:
        """End all faults for good."""
        self.server.clear_faults()
        self._active = []

    def _end_burst(self) -> None:
        for rule in self._active:
            self.server.remove_fault(rule)
        self._active = []

    def _burst(self, platform: PlatformUnderTest) -> Iterator[str]:
        if self._random.random() < 0.5:
            attached = platform.attaches  # that it is gone is the only proof it has: a lie is believed
            fault, params = self._random.choice(
                [one for one in RARE_FAULTS if not attached or one[0] != "gone"]
            )
            yield self.server.fault(fault, upstream=platform.name, operation="chat", times=1, **params)
        for fault, params, likely in self._random.sample(BURST_FAULTS, 3):
            yield self.server.fault(
                fault, upstream=platform.name, operation="chat", probability=likely, **params
            )
