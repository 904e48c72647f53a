"""Stories of what must not end, and of what nobody wanted: doubts that pass, and opens that take effect too late."""

from tests.simulation.crash_stage import MINUTE, Stage, Story


async def _stumbles(stage: Stage) -> None:
    """It fails once, answers, fails once more: never often enough in a row."""
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
    """The platform does as it was told long after everybody has given up: what it opens then is nobody's."""
    for operation in ("open", "create"):
        stage.fault("slow", operation, seconds=30 * MINUTE, effect="last")
    session = await stage.create()
    await stage.passes(40 * MINUTE)
    await stage.job("session.close", session_id=session)
    await stage.passes(MINUTE)


DOUBTS: tuple[Story, ...] = (
    *(Story(name=f"stumbles, at {p}", plot=_stumbles, providers=(p,)) for p in ("alpha", "node")),
    *(Story(name=f"opens too late, at {p}", plot=_opens_too_late, providers=(p,)) for p in ("node", "cloud")),
)
