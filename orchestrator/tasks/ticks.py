"""Wake-ups mean "rows may be due". They name no row, so a lost, repeated or late one does no harm."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.flows.audit.audit_store import audit_store
from orchestrator.flows.engine.pipeline import Flow
from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.archive_sessions import archive_sessions
from orchestrator.flows.operations.delete_ended import delete_ended
from orchestrator.flows.operations.deliver_events import Sink, deliver_events
from orchestrator.flows.operations.housekeeping import forget_old_events, forget_old_outcomes
from orchestrator.flows.operations.machine_clocks import alarm_off_clocks
from orchestrator.flows.operations.watch_clock import watch_clock
from orchestrator.flows.reconcile.reconcile_due import reconcile_due
from orchestrator.flows.steps.admit_queued import admit_queued
from orchestrator.flows.steps.close_due import CLOSE as CLOSE_FLOW
from orchestrator.flows.steps.close_due import close_due, mark_unserved
from orchestrator.flows.steps.funds_due import funds_due
from orchestrator.flows.steps.open_due import OPEN as OPEN_FLOW
from orchestrator.flows.steps.open_due import open_due
from orchestrator.flows.steps.ping.network import prune
from orchestrator.flows.steps.ping.ping_due import PING as PING_FLOW
from orchestrator.flows.steps.ping.ping_due import ping_due
from orchestrator.flows.steps.post_charges import post_charges
from orchestrator.flows.steps.resolve_due import RESOLVE as RESOLVE_FLOW
from orchestrator.flows.steps.resolve_due import resolve_due
from orchestrator.flows.steps.stop_due import stop_due
from orchestrator.flows.steps.wake_queues import wake_queues
from orchestrator.flows.steps.warn_due import warn_due
from orchestrator.flows.upstream import brake
from orchestrator.flows.upstream.credentials import retry_paused
from orchestrator.flows.upstream.local_faults import end_alarms
from orchestrator.flows.upstream.read_balances import read_balances
from orchestrator.rules.installation.liveness import CLOSE, CONTROL, OPEN, PING, STOP
from orchestrator.rules.states import Step


@dataclass(frozen=True, kw_only=True, slots=True)
class TickContext:
    """The objects that a tick may use."""

    services: Services
    sinks: Sequence[Sink]
    """Where events go."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """One wake-up: its kind of work, its interval, and the flow that it runs."""

    kind: str
    every_seconds: float
    run: Callable[[TickContext], Any]
    flow: Flow[Any] | None = None
    """Where there is one, a runner claims with it while earlier claims are under way; `run` is the same in one go."""


def _look_at_brakes(services: Services) -> None:
    brake.review(services)
    end_alarms(services)
    prune(services)
    alarm_off_clocks(services)


#: Task name → wake-up. Add a name a release before anything sends it; never rename one.
TICKS: Mapping[str, Tick] = {
    "orchestrator.tick.admit": Tick(kind=CONTROL, every_seconds=1, run=lambda a: admit_queued(a.services)),
    "orchestrator.tick.open": Tick(
        kind=OPEN, every_seconds=1, run=lambda a: open_due(a.services), flow=OPEN_FLOW
    ),
    "orchestrator.tick.resolve": Tick(
        kind=OPEN, every_seconds=1, run=lambda a: resolve_due(a.services), flow=RESOLVE_FLOW
    ),
    "orchestrator.tick.ping": Tick(
        kind=PING, every_seconds=1, run=lambda a: ping_due(a.services), flow=PING_FLOW
    ),
    "orchestrator.tick.warn": Tick(kind=CONTROL, every_seconds=1, run=lambda a: warn_due(a.services)),
    "orchestrator.tick.stop": Tick(kind=STOP, every_seconds=1, run=lambda a: stop_due(a.services)),
    "orchestrator.tick.close": Tick(
        kind=CLOSE, every_seconds=1, run=lambda a: close_due(a.services), flow=CLOSE_FLOW
    ),
    "orchestrator.tick.funds": Tick(kind=STOP, every_seconds=1, run=lambda a: funds_due(a.services)),
    "orchestrator.tick.charge": Tick(kind=CONTROL, every_seconds=1, run=lambda a: post_charges(a.services)),
    "orchestrator.tick.events": Tick(
        kind=CONTROL, every_seconds=1, run=lambda a: deliver_events(a.services, a.sinks)
    ),
    "orchestrator.tick.queues": Tick(kind=CONTROL, every_seconds=10, run=lambda a: wake_queues(a.services)),
    "orchestrator.tick.brakes": Tick(
        kind=CONTROL, every_seconds=5, run=lambda a: _look_at_brakes(a.services)
    ),
    "orchestrator.tick.keys": Tick(kind=OPEN, every_seconds=15, run=lambda a: retry_paused(a.services)),
    "orchestrator.tick.balances": Tick(kind=OPEN, every_seconds=60, run=lambda a: read_balances(a.services)),
    "orchestrator.tick.reconcile": Tick(kind=OPEN, every_seconds=15, run=lambda a: reconcile_due(a.services)),
    "orchestrator.tick.unserved": Tick(
        kind=CONTROL, every_seconds=30, run=lambda a: mark_unserved(a.services)
    ),
    "orchestrator.tick.outcomes": Tick(
        kind=CONTROL, every_seconds=3600, run=lambda a: forget_old_outcomes(a.services)
    ),
    "orchestrator.tick.forget_events": Tick(
        kind=CONTROL, every_seconds=3600, run=lambda a: forget_old_events(a.services)
    ),
    "orchestrator.tick.delete_ended": Tick(
        kind=CONTROL, every_seconds=60, run=lambda a: delete_ended(a.services)
    ),
    "orchestrator.tick.archive": Tick(
        kind=CONTROL, every_seconds=60, run=lambda a: archive_sessions(a.services)
    ),
    "orchestrator.tick.clock": Tick(kind=CONTROL, every_seconds=2, run=lambda a: watch_clock(a.services)),
    "orchestrator.tick.audit": Tick(kind=CONTROL, every_seconds=60, run=lambda a: audit_store(a.services)),
}

#: Step that a commit may make due → its wake-up.
OF_STEP: Mapping[Step, str] = {step: f"orchestrator.tick.{step.value}" for step in Step}


def queue_of(kind: str) -> str:
    """Return the queue of a kind of work."""
    return f"orchestrator.{kind}"
