"""Short stories that together touch every flow; each is told again for every point at which its worker can die."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.rules.values import Plan, Policy
from orchestrator.settings.configuration import BUILT_IN_PLANS
from tests.simulation.crash import Crash
from tests.simulation.platforms import MODEL
from tests.simulation.universe import Universe

Plot = Callable[["Stage"], Awaitable[None]]
MINUTE = 60.0

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
    """What happens, on which platforms, and which model is served where in order of preference."""

    name: str
    plot: Plot
    providers: tuple[str, ...]
    plan: str = "contract"
    credit: str = "100"
    price: str = "1.20"
    upstream: Mapping[str, Any] = field(default_factory=dict)


class Stage:
    """A universe as a plot sees it."""

    def __init__(self, universe: Universe, story: Story, crash: Crash) -> None:
        self.universe = universe
        self.crash = crash
        self.story = story

    async def set_up(self) -> None:
        """One account and one model."""
        story, world = self.story, self.universe
        await world.done("account.put", account_id="acme", plan=story.plan, currency="USD")
        await world.done(
            "account.credit", account_id="acme", amount=story.credit, currency="USD", key="opening"
        )
        await world.done(
            "model.put",
            id="model",
            providers=list(story.providers),
            provider_model_ids=dict.fromkeys(story.providers, MODEL),
            type="LLM",
            size="8B",
            learning_stage="Instruction-tuned",
            price_per_node_hour=story.price,
            currency="USD",
        )

    async def create(self, **kwargs: Any) -> str:
        """The id of a new session."""
        made = await self.universe.done("session.create", account_id="acme", model_id="model", **kwargs)
        return str(made["id"])

    async def job(self, name: str, /, **kwargs: Any) -> Mapping[str, Any]:
        """Any job, refused or not."""
        return await self.universe.job(name, **kwargs)

    async def passes(self, seconds: float) -> None:
        """Time, while the worker works."""
        await asyncio.sleep(seconds)

    def fault(self, name: str, operation: str, *, times: int | None = 1, **params: Any) -> str:
        """At the first platform of the story."""
        upstream = self.story.providers[0]
        spec = {"name": name, "upstream": upstream, "operation": operation, "times": times, "params": params}
        return self.universe.operator.add_fault(spec)

    def end_there(self) -> None:
        """The first platform ends whatever it has open, and says nothing."""
        for session in self.universe.simulator.sessions.open_now():
            if session.upstream == self.story.providers[0]:
                self.universe.operator.end_session(session.id, "dead")


async def _lives_and_is_closed(stage: Stage) -> None:
    session = await stage.create(failover=False)
    await stage.passes(2 * MINUTE)
    await stage.job("session.record_interactions", batch=[{"session_id": session, "count": 2}])
    await stage.job("session.ping", session_id=session)
    await stage.passes(MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)
    await stage.job("session.delete", session_id=session)


async def _runs_out(stage: Stage) -> None:
    session = await stage.create(start=False, stop={"max_duration_seconds": 150})
    await stage.job("session.start", session_id=session)
    await stage.passes(MINUTE)
    await stage.job("session.extend", session_id=session, max_duration_seconds=200)
    await stage.passes(5 * MINUTE)


async def _answer_of_the_open_is_lost(stage: Stage) -> None:
    for operation in ("open", "create"):
        stage.fault("cut_after_effect", operation)
    session = await stage.create()
    await stage.passes(20 * MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(2 * MINUTE)


async def _is_closed_while_it_opens(stage: Stage) -> None:
    for operation in ("open", "create"):
        stage.fault("slow", operation, seconds=8)
    session = await stage.create()
    await stage.passes(3)
    await stage.job("session.close", session_id=session)
    await stage.passes(3 * MINUTE)


async def _dies_and_moves_on(stage: Stage) -> None:
    session = await stage.create(failover=True)
    await stage.passes(MINUTE)
    stage.end_there()
    await stage.passes(6 * MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


async def _close_is_not_proven(stage: Stage) -> None:
    session = await stage.create()
    await stage.passes(MINUTE)
    stage.fault("close_fails", "close", times=3)
    await stage.job("session.close", session_id=session)
    await stage.passes(4 * MINUTE)


async def _waits_for_its_turn(stage: Stage) -> None:
    first = await stage.create()
    await stage.create(on_quota="queue", stop={"max_duration_seconds": 100})
    await stage.passes(MINUTE)
    await stage.job("session.close", session_id=first)
    await stage.passes(5 * MINUTE)


async def _funds_run_out(stage: Stage) -> None:
    await stage.create()
    await stage.passes(8 * MINUTE)
    await stage.job("account.credit", account_id="acme", amount="0.1", currency="USD", key="more")
    await stage.passes(10 * MINUTE)


async def _runs_for_hours(stage: Stage) -> None:
    session = await stage.create(stop={"max_duration_seconds": 4000})
    await stage.passes(75 * MINUTE)
    await stage.job("session.delete", session_id=session)


async def _is_told_to_leave(stage: Stage) -> None:
    stage.crash.leaves_after = "claims._claim_at"
    session = await stage.create()
    await stage.passes(4 * MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


async def _only_the_list_says_so(stage: Stage) -> None:
    await stage.create()
    await stage.passes(MINUTE)
    stage.fault("throttled", "chat", times=None)
    stage.end_there()
    await stage.passes(90 * MINUTE)


async def _reads_balances(stage: Stage) -> None:
    await stage.passes(13 * 60 * MINUTE)


async def _key_is_refused(stage: Stage) -> None:
    stage.fault("unauthorized", "models", times=2)
    stage.fault("unauthorized", "open", times=2)
    session = await stage.create(on_quota="queue")
    await stage.passes(5 * MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


async def _next_rung_comes_too_late(stage: Stage) -> None:
    stage.fault("refuses_max_tokens", "chat", times=None)
    stage.crash.latency = 1.2
    session = await stage.create()
    await stage.passes(3 * MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


async def _provider_is_at_fault(stage: Stage) -> None:
    sessions = [await stage.create(failover=True) for _ in range(2)]
    await stage.passes(MINUTE)
    fault = stage.fault("dead", "chat", times=None)
    for session in sessions:  # their doubts begin together
        await stage.job("session.ping", session_id=session)
    await stage.passes(2 * MINUTE)
    stage.universe.simulator.faults.remove(fault)
    await stage.passes(10 * MINUTE)
    for session in sessions:
        await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


OF_ALL_KINDS = ("alpha", "morph", "node", "cloud", "studio")
STORIES: tuple[Story, ...] = (
    *(
        Story(name=f"lives and is closed, at {p}", plot=_lives_and_is_closed, providers=(p,))
        for p in OF_ALL_KINDS
    ),
    *(
        Story(name=f"the open's answer is lost, at {p}", plot=_answer_of_the_open_is_lost, providers=(p,))
        for p in OF_ALL_KINDS[1:]
    ),
    *(
        Story(name=f"closed while it opens, at {p}", plot=_is_closed_while_it_opens, providers=(p,))
        for p in OF_ALL_KINDS[1:]
    ),
    *(
        Story(name=f"dies at {p} and moves on", plot=_dies_and_moves_on, providers=(p, "alpha"))
        for p in ("morph", "cloud", "studio")
    ),
    *(
        Story(name=f"close not proven, at {p}", plot=_close_is_not_proven, providers=(p,))
        for p in ("morph", "node")
    ),
    Story(name="runs out", plot=_runs_out, providers=("morph",)),
    Story(name="waits for its turn", plot=_waits_for_its_turn, providers=("morph",), plan="payg"),
    Story(name="funds run out", plot=_funds_run_out, providers=("alpha",), credit="0.2"),
    Story(name="runs for hours", plot=_runs_for_hours, providers=("alpha",)),
    Story(name="key is refused", plot=_key_is_refused, providers=("morph",)),
    Story(name="is told to leave", plot=_is_told_to_leave, providers=("morph",)),
    Story(name="only the list says that it ended", plot=_only_the_list_says_so, providers=("studio",)),
    Story(name="next rung comes too late", plot=_next_rung_comes_too_late, providers=("alpha",)),
    Story(name="reads balances for half a day", plot=_reads_balances, providers=("node",)),
    Story(name="provider is at fault", plot=_provider_is_at_fault, providers=("alpha", "beta")),
)
