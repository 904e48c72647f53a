"""The story of a machine at fault: its alarms are opened, at whatever point their writer dies."""

from collections.abc import Callable

from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.machine_clocks import alarm_off_clocks
from orchestrator.flows.upstream import local_faults
from orchestrator.rules.states import Step
from orchestrator.rules.upstream.local_faults import LocalFault
from orchestrator.rules.values import Worker
from orchestrator.store.transaction import Transaction
from tests.simulation.crash_stage import Stage, Story

#: Seconds by which the machine's clock is ahead.
AHEAD = 3600.0


async def _is_at_fault(stage: Stage) -> None:
    """Leave no file for an open, and set the machine's clock off."""
    works: tuple[Callable[[Services], int], ...] = (_note, alarm_off_clocks)
    for work in works:
        done = None
        while done is None:  # its worker died of it: the next one continues
            stage.universe.database.transact(_report)
            done = await stage.by_itself("machine", work)
            await stage.passes(20)
    with stage.universe.database.reading() as tx:
        kinds = {alarm.kind for alarm in tx.installation_alarms.listed()}
    assert kinds == {"local_fault", "clock_offset"}, kinds


def _note(services: Services) -> int:
    local_faults.note_answer(services, Step.OPEN, "alpha", LocalFault.FILES, "too many open files")
    return 1


def _report(tx: Transaction) -> None:
    now = tx.now()
    off = Worker(
        id="ping-1",
        kind="ping",
        host="ahead",
        pid=1,
        version="1",
        started_at=now,
        seen_at=now,
        clock_offset_seconds=AHEAD,
    )
    tx.workers.report(off)


MACHINES = (Story(name="machine is at fault", plot=_is_at_fault, providers=("alpha",)),)
