"""Wake-ups mean "rows may be due". They name no row, so a lost, repeated or late one does no harm. Their names and
intervals are in `tasks/wake_ups.py`, what each runs is here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.flows.audit.audit_store import audit_store
from orchestrator.flows.engine.provider_steps import ProviderStep
from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.archive_sessions import archive_sessions
from orchestrator.flows.operations.delete_ended import delete_ended
from orchestrator.flows.operations.deliver_events import Sink, deliver_events
from orchestrator.flows.operations.deliver_webhooks import SendsEvents, deliver_webhooks
from orchestrator.flows.operations.housekeeping import forget_old_events, forget_old_outcomes
from orchestrator.flows.operations.machine_clocks import alarm_off_clocks
from orchestrator.flows.operations.watch_clock import watch_clock
from orchestrator.flows.operations.write_minutes import write_minutes
from orchestrator.flows.reconcile.reconcile_due import reconcile_due
from orchestrator.flows.steps.admit_queued import admit_queued
from orchestrator.flows.steps.close_due import CLOSE as CLOSE_STEP
from orchestrator.flows.steps.close_due import close_due, mark_unserved
from orchestrator.flows.steps.funds_due import funds_due
from orchestrator.flows.steps.open_due import OPEN as OPEN_STEP
from orchestrator.flows.steps.open_due import open_due
from orchestrator.flows.steps.ping.failed_pings import prune
from orchestrator.flows.steps.ping.ping_due import PING as PING_STEP
from orchestrator.flows.steps.ping.ping_due import ping_due
from orchestrator.flows.steps.post_charges import post_charges
from orchestrator.flows.steps.resolve_due import RESOLVE as RESOLVE_STEP
from orchestrator.flows.steps.resolve_due import resolve_due
from orchestrator.flows.steps.stop_due import stop_due
from orchestrator.flows.steps.wake_queues import wake_queues
from orchestrator.flows.steps.warn_due import warn_due
from orchestrator.flows.upstream import brake
from orchestrator.flows.upstream.credentials import retry_paused
from orchestrator.flows.upstream.local_faults import end_alarms
from orchestrator.flows.upstream.read_balances import read_balances
from orchestrator.tasks.wake_ups import WAKE_UPS


@dataclass(frozen=True, kw_only=True, slots=True)
class TickContext:
    """The objects that a tick may use."""

    services: Services
    sinks: Sequence[Sink]
    """The destinations of events."""
    webhooks: SendsEvents


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """One wake-up: its kind of work, its interval, and the flow that it runs."""

    kind: str
    every_seconds: float
    run: Callable[[TickContext], Any]
    step: ProviderStep[Any, Any] | None = None
    """If set, a runner claims with it while earlier claims are under way; `run` does the same in one go."""
    pause_seconds: float = 0.0
    """How long a runner waits between two runs that follow each other, so that the second finds more."""


def _review_brakes(services: Services) -> None:
    brake.review(services)
    end_alarms(services)
    prune(services)
    alarm_off_clocks(services)


#: Task name → the flow that it runs.
_RUNS: Mapping[str, Callable[[TickContext], Any]] = {
    "orchestrator.tick.admit": lambda a: admit_queued(a.services),
    "orchestrator.tick.open": lambda a: open_due(a.services),
    "orchestrator.tick.resolve": lambda a: resolve_due(a.services),
    "orchestrator.tick.ping": lambda a: ping_due(a.services),
    "orchestrator.tick.warn": lambda a: warn_due(a.services),
    "orchestrator.tick.stop": lambda a: stop_due(a.services),
    "orchestrator.tick.close": lambda a: close_due(a.services),
    "orchestrator.tick.funds": lambda a: funds_due(a.services),
    "orchestrator.tick.charge": lambda a: post_charges(a.services),
    "orchestrator.tick.events": lambda a: deliver_events(a.services, a.sinks),
    "orchestrator.tick.webhooks": lambda a: deliver_webhooks(a.services, a.webhooks),
    "orchestrator.tick.queues": lambda a: wake_queues(a.services),
    "orchestrator.tick.brakes": lambda a: _review_brakes(a.services),
    "orchestrator.tick.keys": lambda a: retry_paused(a.services),
    "orchestrator.tick.balances": lambda a: read_balances(a.services),
    "orchestrator.tick.reconcile": lambda a: reconcile_due(a.services),
    "orchestrator.tick.unserved": lambda a: mark_unserved(a.services),
    "orchestrator.tick.outcomes": lambda a: forget_old_outcomes(a.services),
    "orchestrator.tick.forget_events": lambda a: forget_old_events(a.services),
    "orchestrator.tick.delete_ended": lambda a: delete_ended(a.services),
    "orchestrator.tick.archive": lambda a: archive_sessions(a.services),
    "orchestrator.tick.minutes": lambda a: write_minutes(a.services),
    "orchestrator.tick.clock": lambda a: watch_clock(a.services),
    "orchestrator.tick.audit": lambda a: audit_store(a.services),
}
#: Task name → the step that a runner claims with.
_STEPS: Mapping[str, ProviderStep[Any, Any]] = {
    "orchestrator.tick.open": OPEN_STEP,
    "orchestrator.tick.resolve": RESOLVE_STEP,
    "orchestrator.tick.ping": PING_STEP,
    "orchestrator.tick.close": CLOSE_STEP,
}
#: Task name → the pause between its runs: while events keep coming, each delivery takes those of half a second.
_PAUSES: Mapping[str, float] = {"orchestrator.tick.events": 0.5}
#: Task name → wake-up with its flow.
TICKS: Mapping[str, Tick] = {
    name: Tick(
        kind=one.kind,
        every_seconds=one.every_seconds,
        run=_RUNS[name],
        step=_STEPS.get(name),
        pause_seconds=_PAUSES.get(name, 0.0),
    )
    for name, one in WAKE_UPS.items()
}
