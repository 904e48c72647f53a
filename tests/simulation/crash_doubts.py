"""Stories of sessions that must not end, and of unwanted ones: doubts that pass, and opens that take effect too
late."""

from functools import partial

from orchestrator.flows.engine.metering import count_of_answer
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs.perform import Performed, give_up
from orchestrator.flows.jobs.under_key import perform_under_key
from orchestrator.providers.port.driver import Closed, Probe
from orchestrator.rules.values import Verdict
from tests.simulation.crash_stage import MINUTE, Stage, Story


async def _stumbles(stage: Stage) -> None:
    """Let a ping fail once, succeed, fail once more: never often enough in a row."""
    session = await stage.create()
    await stage.passes(MINUTE)
    for between in (None, "throttled"):
        for fault in ("dead", between, "dead"):
            if fault is not None:
                stage.fault(fault, "chat")
            await stage.job("session.ping", session_id=session)
            await stage.passes(MINUTE / 2)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


async def _opens_too_late(stage: Stage) -> None:
    """Let the platform open long after its caller gave up: the session that appears belongs to no placement."""
    for operation in ("open", "create"):
        stage.fault("slow", operation, seconds=30 * MINUTE, effect="last")
    session = await stage.create()
    await stage.passes(40 * MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


async def _cannot_be_read(stage: Stage) -> None:
    """Garble one row for a while: it waits, and the other session lives on."""
    bad, good = [await stage.create() for _ in range(2)]
    await stage.passes(MINUTE)
    stage.garble(bad, "[7]")
    await stage.passes(9 * MINUTE)
    stage.garble(bad, None)
    await stage.passes(9 * MINUTE)
    for session in (bad, good):
        await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


async def _fails_at_every_try(stage: Stage) -> None:
    """Send a job that fails by a defect; a ping that an attached endpoint's close has sent is counted."""
    gave_up = partial(give_up, task_id="job-defect", name="orchestrator.session.close", why="KeyError")
    answers = stage.universe.answers.setdefault("job-defect", [])
    while not answers:
        outcome = await stage.by_itself("give up", gave_up)
        answers += [] if outcome is None else [outcome]
        await stage.passes(20)
    probe = Probe(verdict=Verdict.GONE, latency_ms=1)
    closed = Closed(proof="it is gone", probe=probe)
    await stage.by_itself("meter", lambda services: count_of_answer(services.database, "alpha", closed))
    kept = stage.universe.answers.setdefault("key-check", [])
    while not kept:
        done = await stage.by_itself("operate", _checked_under_a_key)
        kept += [] if done is None else [done.outcome]
        await stage.passes(20)
    session = await stage.create()
    await stage.passes(MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


def _checked_under_a_key(services: Services) -> Performed:
    name = "orchestrator.provider.check"
    return perform_under_key(services, "key-check", name, {"provider": "alpha"}, "ops", lambda: {"ok": True})


DOUBTS: tuple[Story, ...] = (
    *(Story(name=f"stumbles, at {p}", plot=_stumbles, providers=(p,)) for p in ("alpha", "node")),
    Story(name="a row cannot be read", plot=_cannot_be_read, providers=("alpha",)),
    Story(name="a job fails at every try", plot=_fails_at_every_try, providers=("alpha",)),
    *(Story(name=f"opens too late, at {p}", plot=_opens_too_late, providers=(p,)) for p in ("node", "cloud")),
)
