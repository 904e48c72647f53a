"""The table of wake-ups: their names, kinds of work and intervals. It is all that the scheduler needs of them: their
flows are in `tasks/ticks.py`, which imports most of the platform."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.rules.installation.liveness import CLOSE, CONTROL, OPEN, PING, STOP
from orchestrator.rules.states import Step


@dataclass(frozen=True, slots=True)
class WakeUp:
    """One wake-up: its kind of work, and its interval."""

    kind: str
    every_seconds: float


#: Task name → wake-up. Add a name a release before anything sends it; never rename one.
WAKE_UPS: Mapping[str, WakeUp] = {
    "orchestrator.tick.admit": WakeUp(CONTROL, 1),
    "orchestrator.tick.open": WakeUp(OPEN, 1),
    "orchestrator.tick.resolve": WakeUp(OPEN, 1),
    "orchestrator.tick.ping": WakeUp(PING, 1),
    "orchestrator.tick.warn": WakeUp(CONTROL, 1),
    "orchestrator.tick.stop": WakeUp(STOP, 1),
    "orchestrator.tick.close": WakeUp(CLOSE, 1),
    "orchestrator.tick.funds": WakeUp(STOP, 1),
    "orchestrator.tick.charge": WakeUp(CONTROL, 1),
    "orchestrator.tick.events": WakeUp(CONTROL, 1),
    "orchestrator.tick.webhooks": WakeUp(CONTROL, 1),
    "orchestrator.tick.queues": WakeUp(CONTROL, 10),
    "orchestrator.tick.brakes": WakeUp(CONTROL, 5),
    "orchestrator.tick.keys": WakeUp(OPEN, 15),
    "orchestrator.tick.balances": WakeUp(OPEN, 60),
    "orchestrator.tick.reconcile": WakeUp(OPEN, 15),
    "orchestrator.tick.unserved": WakeUp(CONTROL, 30),
    "orchestrator.tick.outcomes": WakeUp(CONTROL, 3600),
    "orchestrator.tick.forget_events": WakeUp(CONTROL, 3600),
    "orchestrator.tick.delete_ended": WakeUp(CONTROL, 60),
    "orchestrator.tick.archive": WakeUp(CONTROL, 60),
    "orchestrator.tick.minutes": WakeUp(CONTROL, 20),
    "orchestrator.tick.clock": WakeUp(CONTROL, 2),
    "orchestrator.tick.audit": WakeUp(CONTROL, 60),
}

#: Step that a commit may make due → its wake-up.
OF_STEP: Mapping[Step, str] = {step: f"orchestrator.tick.{step.value}" for step in Step}


def queue_of(kind: str) -> str:
    """Return the queue of a kind of work."""
    return f"orchestrator.{kind}"
