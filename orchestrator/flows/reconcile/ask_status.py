"""Ask a platform about single placements that its list lacks, where it can be asked."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.targets import target_of
from orchestrator.providers.port.driver import Driver, Life, Status
from orchestrator.rules.reconcile.compare import with_status
from orchestrator.rules.reconcile.lists import Action, Difference
from orchestrator.rules.values import Placement

#: Seconds, for one question; and how many are under way at once.
STATUS_TIMEOUT, QUESTIONS = 30.0, 8


def confirmed(services: Services, provider: str, findings: Sequence[Difference]) -> list[Difference]:
    """Return the findings. Where the platform has a status, ask it first about the placements that the list lacks."""
    driver = services.drivers[provider]
    doubtful = [one for one in findings if one.action is Action.END]
    if not doubtful or not driver.card.status.can_ask:
        return list(findings)
    with services.database.reading() as tx:
        rows = {one.handle: tx.placements.get(one.placement_id or "") for one in doubtful}
        now = tx.now()
    said = services.loop.run(_statuses(services, driver, rows, now))
    return [_with_status(one, said.get(one.handle)) if one.action is Action.END else one for one in findings]


async def _statuses(
    services: Services, driver: Driver, rows: dict[str, Placement | None], now: datetime
) -> dict[str, Status]:
    free = asyncio.Semaphore(QUESTIONS)

    async def ask(placement: Placement) -> Status:
        try:
            async with free, asyncio.timeout(STATUS_TIMEOUT):
                return await driver.status(target_of(services, placement, None, to_ping=False, now=now))
        except Exception as error:  # noqa: BLE001 - its own answer cannot be had: then nothing is confirmed
            return Status(life=Life.UNKNOWN, detail=f"{type(error).__name__}: {error}")

    asked = {handle: placement for handle, placement in rows.items() if placement is not None}
    answers = await asyncio.gather(*(ask(placement) for placement in asked.values()))
    return dict(zip(asked, answers, strict=True))


def _with_status(finding: Difference, status: Status | None) -> Difference:
    if status is None:
        return with_status(finding, None, is_over=False, expired=False)
    said = status.detail or status.life.value
    return with_status(finding, said, is_over=status.life.is_over, expired=status.expired)
