"""Short stories that together touch every flow; each is run once for every point at which its worker can die."""

from tests.simulation.crash_archive import ARCHIVED
from tests.simulation.crash_doubts import DOUBTS
from tests.simulation.crash_machines import MACHINES
from tests.simulation.crash_stage import MINUTE, Plot, Stage, Story
from tests.simulation.crash_webhooks import WEBHOOKS
from tests.simulation.platforms import SESTERCE


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


async def _waits_for_a_key_without_a_wake_up(stage: Stage) -> None:
    stage.retire_keys(retired=True)
    session = await stage.create(on_quota="queue")
    await stage.passes(MINUTE)
    stage.retire_keys(retired=False)
    await stage.passes(3 * MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


async def _traffic_of_two_accounts_is_reported(stage: Stage) -> None:
    await stage.job("account.put", account_id="other", plan="contract", currency="USD")
    await stage.job("account.credit", account_id="other", amount="5", currency="USD", key="opening")
    mine = await stage.create(stop={"max_interactions": 3})
    other = await stage.create(account_id="other", stop={"max_interactions": 3})
    await stage.passes(MINUTE)
    batch = [{"session_id": one, "count": 2} for one in (mine, other)]
    for _ in ("together", "each by itself, as it stops"):
        await stage.job("session.record_interactions", batch=batch)
    await stage.passes(2 * MINUTE)


async def _funds_run_out(stage: Stage) -> None:
    await stage.create()
    await stage.passes(8 * MINUTE)
    await stage.job("account.credit", account_id="acme", amount="0.1", currency="USD", key="more")
    await stage.passes(10 * MINUTE)


async def _budget_is_used_up(stage: Stage) -> None:
    budget = {"account_id": "acme", "period": "day", "currency": "USD", "hard_stop": True}
    await stage.job("account.budget", **budget, amount="0.1")
    await stage.create()
    await stage.passes(3 * MINUTE)
    await stage.job("account.budget", **budget, amount="0.2")
    await stage.passes(12 * MINUTE)


async def _runs_for_hours(stage: Stage) -> None:
    session = await stage.create(stop={"max_duration_seconds": 4000})
    await stage.passes(75 * MINUTE)
    await stage.job("session.delete", session_id=session)


async def _receives_sigterm(stage: Stage) -> None:
    stage.crash.leaves_after = "placement_steps.PlacementStep.claim"
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


async def _next_fallback_comes_too_late(stage: Stage) -> None:
    stage.fault("refuses_max_tokens", "chat", times=None)
    stage.crash.latency = 1.2
    session = await stage.create()
    await stage.passes(3 * MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


async def _provider_is_at_fault(stage: Stage) -> None:
    sessions = [await stage.create(failover=moves) for moves in (False, False, True)]
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


async def _is_looked_at(stage: Stage) -> None:
    session = await stage.create()
    await stage.passes(MINUTE)
    await stage.checks()
    await stage.job("session.close", session_id=session)
    await stage.passes(2 * MINUTE)


async def _status_takes_its_time(stage: Stage) -> None:
    session = await stage.create()
    await stage.passes(MINUTE)
    stage.fault("slow", "list", times=None, seconds=2)
    await stage.job("session.ping", session_id=session)
    await stage.passes(MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(2 * MINUTE)


async def _ends_while_no_worker_runs(stage: Stage) -> None:
    session = await stage.create(stop={"max_duration_seconds": 100})
    await stage.passes(MINUTE)
    stage.crash.downtime = 3 * MINUTE
    stage.universe.trouble(4 * MINUTE)
    for worker in stage.universe.alive:
        worker.kill()
    await stage.passes(8 * MINUTE)
    stage.crash.downtime = 1.0
    await stage.job("session.close", session_id=session)  # too late


def _goes_on_too_late(settles: str, *, after: int = 1) -> Plot:
    """Let a worker stand still, with an answer, beyond its lease, while others do its work; then let it continue."""

    async def plot(stage: Stage) -> None:
        if after > 1:
            for operation in ("open", "create"):
                stage.fault("cut_after_effect", operation)
        stage.crash.pauses[settles] = after, 5 * MINUTE
        first = await stage.create()
        await stage.passes(8 * MINUTE)
        await stage.job("session.close", session_id=first)
        await stage.passes(2 * MINUTE)
        second = await stage.create(on_quota="queue")  # if there is one key, it is this one's next
        await stage.passes(8 * MINUTE)
        await stage.job("session.close", session_id=second)
        await stage.passes(2 * MINUTE)

    return plot


#: A gateway with one key, where an open settles soon.
_ONE_KEY = {"keys": 1, "options": {"close_retry_seconds": 1, "opens_settle_within_seconds": 60}}
_TOO_LATE = {
    "open": _goes_on_too_late("open_due.OpeningStep.settle_one"),
    "resolve": _goes_on_too_late("open_due.OpeningStep.settle_one", after=2),
    "close": _goes_on_too_late("close_due.CloseStep.settle_one"),
}
#: Where calls of one key may overlap, proven closes are settled together.
_TOGETHER_TOO_LATE = _goes_on_too_late("close_due._settle")
OF_ALL_KINDS = ("aiml", "alpha", "morph", "node", "cloud", "studio")
STORIES: tuple[Story, ...] = (
    *(
        Story(name=f"lives and is closed, at {p}", plot=_lives_and_is_closed, providers=(p,))
        for p in OF_ALL_KINDS
    ),
    *(
        Story(name=f"the open's answer is lost, at {p}", plot=_answer_of_the_open_is_lost, providers=(p,))
        for p in OF_ALL_KINDS[2:]
    ),
    *(
        Story(name=f"closed while it opens, at {p}", plot=_is_closed_while_it_opens, providers=(p,))
        for p in OF_ALL_KINDS[2:]
    ),
    *(
        Story(name=f"dies at {p} and moves on", plot=_dies_and_moves_on, providers=(p, "alpha"))
        for p in ("morph", "node", "cloud", "studio")
    ),
    *(
        Story(name=f"close not proven, at {p}", plot=_close_is_not_proven, providers=(p,))
        for p in ("morph", "node")
    ),
    *(
        Story(name=f"{step} settled too late, at {p}", plot=plot, providers=(p,), changes={"morph": _ONE_KEY})
        for step, plot in _TOO_LATE.items()
        for p in ("morph", "node")
    ),
    *(
        Story(name=f"closes settled together too late, at {p}", plot=_TOGETHER_TOO_LATE, providers=(p,))
        for p in ("cloud", "studio")
    ),
    *(Story(name=f"is looked at, at {p}", plot=_is_looked_at, providers=(p,)) for p in OF_ALL_KINDS),
    Story(
        name="status takes its time",
        plot=_status_takes_its_time,
        providers=("cloud",),
        changes={"cloud": {"options": {**SESTERCE, "pending_means": "asleep"}}},
    ),
    *(
        Story(name=f"ends while no worker runs, at {p}", plot=_ends_while_no_worker_runs, providers=(p,))
        for p in ("alpha", "node")
    ),
    Story(name="runs out", plot=_runs_out, providers=("morph",)),
    Story(name="waits for its turn", plot=_waits_for_its_turn, providers=("morph",), plan="payg"),
    Story(
        name="waits for a key without a wake-up",
        plot=_waits_for_a_key_without_a_wake_up,
        providers=("morph",),
    ),
    Story(
        name="traffic of two accounts is reported",
        plot=_traffic_of_two_accounts_is_reported,
        providers=("alpha",),
    ),
    Story(name="a budget is used up", plot=_budget_is_used_up, providers=("alpha",)),
    Story(name="funds run out", plot=_funds_run_out, providers=("alpha",), credit="0.2"),
    Story(name="runs for hours", plot=_runs_for_hours, providers=("alpha",)),
    Story(name="key is refused", plot=_key_is_refused, providers=("morph",)),
    Story(name="receives SIGTERM", plot=_receives_sigterm, providers=("morph",)),
    Story(name="only the list says that it ended", plot=_only_the_list_says_so, providers=("studio",)),
    Story(name="next fallback comes too late", plot=_next_fallback_comes_too_late, providers=("alpha",)),
    Story(name="reads balances for half a day", plot=_reads_balances, providers=("node",)),
    Story(name="provider is at fault", plot=_provider_is_at_fault, providers=("alpha", "beta")),
    *DOUBTS,
    *ARCHIVED,
    *MACHINES,
    *WEBHOOKS,
)
