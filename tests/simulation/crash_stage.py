"""The stage of the stories that are crashed: one account, one model, and what a plot may do."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.provider_check import check_provider
from orchestrator.rules.values import Plan, Policy
from orchestrator.settings.configuration import BUILT_IN_PLANS
from tests.simulation.crash import Crash
from tests.simulation.kernel import Killed
from tests.simulation.universe import Universe

T = TypeVar("T")
Plot = Callable[["Stage"], Awaitable[None]]
MINUTE = 60.0
ANSWERED_WITHIN = 60 * MINUTE

POLICY = Policy(
    ping_interval_seconds=240,
    ping_timeout_seconds=10,
    dead_after_failures=2,
    dead_after_seconds=3,
    open_timeout_seconds=30,
    close_timeout_seconds=20,
    resolve_after_seconds=60,
    start_timeout_seconds=900,
    close_retry_max_seconds=60,
    credential_rest_seconds=5,
    warn_before_stop_seconds=(60,),
    brake_max_seconds=400,
)
PLANS = {**BUILT_IN_PLANS, "payg": Plan(name="payg", max_sessions=20, max_concurrent=1, max_nodes=2)}


@dataclass(frozen=True, kw_only=True)
class Story:
    """The plot, its platforms, and which model is served where in order of preference."""

    name: str
    plot: Plot
    providers: tuple[str, ...]
    plan: str = "contract"
    credit: str = "100"
    price: str = "1.20"
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields of `Upstream` that differ here."""


class Stage:
    """A universe with the actions of a plot."""

    def __init__(self, universe: Universe, story: Story, crash: Crash) -> None:
        self.universe = universe
        self.crash = crash
        self.story = story

    async def set_up(self) -> None:
        """Put one account and one model."""
        await self.universe.open_account("acme", self.story.plan, self.story.credit)
        await self.universe.put_model("model", self.story.providers, price_per_node_hour=self.story.price)

    async def create(self, **kwargs: Any) -> str:
        """Return the id of a new session."""
        arguments = {"account_id": "acme", "model_id": "model", **kwargs}
        outcome = await self.job("session.create", **arguments)
        assert outcome["ok"], outcome
        return str(outcome["result"]["id"])

    async def job(self, name: str, /, **kwargs: Any) -> Mapping[str, Any]:
        """Run any job, refused or not; a job that is never answered ends the story."""
        async with asyncio.timeout(ANSWERED_WITHIN):
            return await self.universe.job(name, **kwargs)

    async def passes(self, seconds: float) -> None:
        """Let time pass, while the worker works."""
        await asyncio.sleep(seconds)

    async def checks(self) -> None:
        """Check the first platform, as a person does, unless the worker dies of it."""
        for worker in self.universe.alive[:1]:
            ask = partial(check_provider, worker.services, self.story.providers[0])
            with suppress(Killed):
                await worker.do("check", ask)

    async def by_itself(self, name: str, work: Callable[[Services], T]) -> T | None:
        """Run a worker's step for a task or platform that is not played here; return None if it dies of it."""
        for worker in self.universe.alive[:1]:
            with suppress(Killed):
                return await worker.do(name, partial(work, worker.services))
        return None

    def garble(self, session_id: str, attach: str | None) -> None:
        """Change the database by hand."""
        with closing(sqlite3.connect(str(self.universe.database.engine.url.database))) as hand, hand:
            hand.execute("UPDATE sessions SET attach = ? WHERE id = ?", (attach, session_id))

    def retire_keys(self, *, retired: bool) -> None:
        """Retire every key by hand, or restore it, without a wake-up."""
        with closing(sqlite3.connect(str(self.universe.database.engine.url.database))) as hand, hand:
            hand.execute("UPDATE credentials SET retired = ?", (retired,))

    def fault(self, name: str, operation: str, *, times: int | None = 1, **params: Any) -> str:
        """Plant a fault at the first platform of the story."""
        upstream = self.story.providers[0]
        spec = {"name": name, "upstream": upstream, "operation": operation, "times": times, "params": params}
        return self.universe.operator.add_fault(spec)

    def end_there(self) -> None:
        """End at the first platform whatever it has open, silently."""
        for session in self.universe.simulator.sessions.open_now():
            if session.upstream == self.story.providers[0]:
                self.universe.operator.end_session(session.id, "dead")
