"""Faults that last longer than a burst: a provider that is dead for good, pings with verdicts that alternate for
hours, and an account with very many sessions. Each has random numbers of its own, so that it changes nothing else of a
seed's day."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from orchestrator.simulator import BadInput
from tests.simulation.platforms import ASKS, OPENS, PINGS
from tests.simulation.universe import Universe

HOUR = 3600.0
DEAD_FOR_GOOD, ALTERNATING, GIANT = "a provider dies for good", "verdicts alternate", "a giant account"
#: The probability of each on a day.
CHANCES: Mapping[str, float] = {DEAD_FOR_GOOD: 0.3, ALTERNATING: 0.3, GIANT: 0.2}
#: Pings end so in turns, and none of them is a proof of life.
VERDICTS = ("loading", "unauthorized", "throttled", "error_before", "out_of_balance", "gone")
#: More than end in one transaction, and more than are pinged at once.
MANY = 130


class Lasting:
    """The lasting faults of one seed. `active` is the switch: where it goes off, every fault is cleared."""

    def __init__(self, universe: Universe, seed: int) -> None:
        self._universe = universe
        self._rng = random.Random(f"{seed}/lasting")
        self.flavours = [name for name, chance in CHANCES.items() if self._rng.random() < chance]
        self.active = False

    async def inject(self) -> None:
        """Start in each span with faults, once at most, each fault that this day has; for ever."""
        happenings: Mapping[str, Callable[[], Coroutine[Any, Any, None]]] = {
            DEAD_FOR_GOOD: self._die_for_good,
            ALTERNATING: self._alternate,
            GIANT: self._many_sessions,
        }
        if GIANT in self.flavours:
            await self._open_giant_account()
        left = list(self.flavours)
        while self.flavours:
            await asyncio.sleep(self._rng.uniform(1, 6) * HOUR)
            if not self.active:
                left = list(self.flavours)
            elif left:
                what = left.pop(self._rng.randrange(len(left)))
                self._universe.counts.faults[what] += 1
                await happenings[what]()

    async def _die_for_good(self) -> None:
        """Let every call there fail until the end of the span with faults."""
        upstream = self._rng.choice(sorted(self._universe.platforms))
        self._universe.note(upstream, "dies for good")
        for operation in (*PINGS, *ASKS, *OPENS):
            self._fault(upstream, operation, "dead", 1.0)

    async def _alternate(self) -> None:
        upstream = self._rng.choice(sorted(self._universe.platforms))
        verdicts = self._rng.sample(VERDICTS, self._rng.choice((2, 3)))
        self._universe.note(upstream, f"its pings alternate: {', '.join(verdicts)}")
        share = self._rng.choice((0.3, 1.0))
        for n, verdict in enumerate(verdicts, 1):
            self._fault(upstream, "chat", verdict, share * n / len(verdicts))

    async def _open_giant_account(self) -> None:
        await self._universe.open_account("giant", "contract", "90000")

    async def _many_sessions(self) -> None:
        """Start very many sessions together; most end at one instant, and one in four is closed before."""
        shared = sorted(
            name for name, p in self._universe.platforms.items() if p.driver in {"openai", "aimlapi"}
        )
        model_id, seconds = self._rng.choice(shared), self._rng.choice((900, 2700))
        self._universe.note("giant", f"{MANY} sessions of {model_id}, {seconds} s each")
        for n in range(MANY):
            self._universe.spawn(self._one_of_many(model_id, seconds, closes=n % 4 == 0), "giant")

    async def _one_of_many(self, model_id: str, seconds: int, *, closes: bool) -> None:
        given = {"account_id": "giant", "model_id": model_id, "stop": {"max_duration_seconds": seconds}}
        outcome = await self._universe.job("session.create", **given)
        if closes and outcome["ok"]:
            await asyncio.sleep(seconds / 2)
            await self._universe.job("session.close", session_id=outcome["result"]["id"])

    def _fault(self, upstream: str, operation: str, name: str, probability: float) -> None:
        spec = {"name": name, "upstream": upstream, "operation": operation, "probability": probability}
        params: Mapping[str, Sequence[Any] | float] = {"retry_after": 30} if name == "throttled" else {}
        try:
            self._universe.operator.add_fault({**spec, "params": dict(params)})
        except BadInput:
            return  # this platform has no such call
