"""The faults of the platforms: wrong answers, outages of a share, sessions that die by themselves."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.simulator import BadInput
from tests.simulation.platforms import ASKS, CLOSES, OPENS, PINGS
from tests.simulation.universe import Universe
from tests.simulation.unknown_resources import plant

Params = Mapping[str, Any]

#: Faults by the calls that they hit. A list that lags and a slow close are options of the platforms besides.
FAULTS: Mapping[str, tuple[Sequence[str], Sequence[tuple[str, Params]]]] = {
    "open": (
        OPENS,
        (
            ("cut_after_effect", {}),
            ("cut_before_effect", {}),
            ("cut_in_body", {}),
            ("error_after_effect", {}),
            ("error_before", {}),
            ("invalid_json", {}),
            ("hang", {"effect": True}),
            ("hang", {}),
            ("slow", {"seconds": 40}),
            ("slow", {"seconds": 300, "effect": "last"}),
            ("throttled", {"retry_after": 20}),
            ("unauthorized", {}),
            ("html", {}),
        ),
    ),
    "close": (
        CLOSES,
        (
            ("close_fails", {}),
            ("cut_after_effect", {}),
            ("cut_before_effect", {}),
            ("error_after_effect", {}),
            ("hang", {"effect": True}),
            ("slow", {"seconds": 60, "effect": "last"}),
            ("throttled", {"retry_after": 5}),
        ),
    ),
    "ask": (ASKS, (("error_before", {}), ("hang", {}), ("cut_before_effect", {}), ("invalid_json", {}))),
    "ping": (
        PINGS,
        (
            ("dead", {}),
            ("slow", {"seconds": 10}),
            ("hang", {}),
            ("busy", {"seconds": 95}),
            ("throttled", {"retry_after": 30}),
            ("loading", {}),
            ("error_before", {}),
            ("empty_choices", {}),
            ("unauthorized", {}),
            ("out_of_balance", {}),
        ),
    ),
}


class ProviderFaults:
    """The faults of the platforms, by one seed."""

    def __init__(self, universe: Universe, rng: random.Random) -> None:
        self._universe = universe
        self._rng = rng
        self.active = False

    async def inject(self, every: float) -> None:
        """Start a fault somewhere, for a while, now and then, for ever. `every`: seconds, on average."""
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / every))
            if self.active:
                self._strike()

    def clear(self) -> None:
        """Clear all faults."""
        self.active = False
        self._universe.simulator.faults.clear()

    def _strike(self) -> None:
        rng = self._rng
        upstream = rng.choice(sorted(self._universe.platforms))
        kind = rng.choices(
            ["open", "close", "ask", "ping", "outage", "end", "double", "unknown session", "nothing"],
            [5, 4, 2, 3, 2, 3, 1, 2, 1],
        )[0]
        match kind:
            case "end":
                self._end_one(upstream)
            case "outage":
                share = rng.choice((0.3, 0.7, 1.0))
                for operation in (*PINGS, *ASKS):
                    self._fault(upstream, operation, "dead", {}, share, None, rng.uniform(30, 400))
            case "unknown session":
                plant(self._universe, rng, upstream)
            case "nothing":  # it lists nothing
                self._fault(upstream, "list", "empty_list", {}, 1.0, None, rng.uniform(600, 6000))
            case "double":
                self._answer_twice(upstream)
            case _:
                operations, faults = FAULTS[kind]
                name, params = rng.choice(faults)
                seconds, share = rng.uniform(60, 900), rng.choice((0.5, 1.0))
                for operation in operations:
                    self._fault(upstream, operation, name, params, share, rng.choice((1, 2, 4)), seconds)

    def _fault(
        self,
        upstream: str,
        operation: str,
        name: str,
        params: Params,
        share: float,
        times: int | None,
        seconds: float,
    ) -> None:
        spec = {
            "name": name,
            "upstream": upstream,
            "operation": operation,
            "params": dict(params),
            "probability": share,
            "times": times,
        }
        try:
            fault = self._universe.operator.add_fault(spec)
        except BadInput:
            return  # this platform has no such call
        self._universe.counts.faults[f"{name} at {operation}"] += 1
        self._universe.note(upstream, f"{name} at {operation} for {seconds:.0f} s, {share:g}")
        self._universe.loop.call_later(seconds, self._universe.simulator.faults.remove, fault)

    def _end_one(self, upstream: str) -> None:
        """End a session at the platform, silently."""
        open_ones = [s for s in self._universe.simulator.sessions.open_now() if s.upstream == upstream]
        if open_ones:
            session = self._rng.choice(open_ones)
            how = self._rng.choice(("expired", "dead"))
            self._universe.operator.end_session(session.id, how)
            self._universe.counts.faults["session ended by its platform"] += 1
            self._universe.note(upstream, f"ends {session.id[:12]}: {how}")

    def _answer_twice(self, upstream: str) -> None:
        """Answer the next open with the id of a session that is there already."""
        open_ones = [s for s in self._universe.simulator.sessions.open_now() if s.upstream == upstream]
        if open_ones:
            given = {"session_id": self._rng.choice(open_ones).id}
            self._fault(upstream, "open", "wrong_id", given, 1.0, 1, 600)
