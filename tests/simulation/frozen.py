"""The brake, read off the events: nobody dies where most fell ill at once."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from orchestrator.rules.states import State, StopReason
from tests.simulation.deaths import ended_there, left_at
from tests.simulation.evidence import Evidence, Told
from tests.simulation.treasury import STAMPS

Found = Iterator[tuple[str, str]]

#: Doubts that began within two minutes count together: more than half of five, all of fewer.
WINDOW = timedelta(minutes=2)
MANY, FEW = 5, 2
_DEATHS = frozenset({StopReason.DEAD, StopReason.PROVIDER_ENDED})
_OVER = frozenset({"session.stopping", "session.stopped", "session.failed", "session.failed_over"})


def no_death_by_a_provider_at_fault(evidence: Evidence) -> Found:
    """Nobody died where the provider was at fault, unless the platform itself had ended that session."""
    wards: dict[str, _Ward] = defaultdict(_Ward)
    home: dict[str, str] = {}
    for event in evidence.told:
        if event.kind == "provider.released":
            wards[event.subject].ill.clear()
        elif event.kind == "session.running":
            home[event.subject] = str(event.data.get("provider"))
            wards[home[event.subject]].running.add(event.subject)
        elif event.subject in home:
            ward = wards[home[event.subject]]
            if event.kind in _OVER and _is_death(evidence, event) and ward.is_at_fault(event.at):
                where = home[event.subject]
                yield event.subject, f"{event.kind} as dead at {event.at}, while {where} was at fault"
            ward.note(event)
            if event.kind in _OVER:
                del home[event.subject]


class _Ward:
    """The running sessions of one provider."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.ill: dict[str, datetime] = {}
        self.died: list[datetime] = []

    def note(self, event: Told) -> None:
        """One of them fell ill, recovered or left."""
        if event.kind == "session.suspect":
            self.ill[event.subject] = event.at
        elif event.kind == "session.recovered":
            self.ill.pop(event.subject, None)
        elif event.kind in _OVER:
            self.running.discard(event.subject)
            self.ill.pop(event.subject, None)
            if event.data.get("stop_reason") == StopReason.DEAD:
                self.died.append(event.at)

    def is_at_fault(self, at: datetime) -> bool:
        lately = sum(at - since < WINDOW for since in self.ill.values())
        dead = sum(at - when < WINDOW for when in self.died)
        everybody, unwell = len(self.running) + dead, lately + dead
        return 2 * unwell > everybody if everybody >= MANY else everybody >= FEW and unwell == everybody


def _is_death(evidence: Evidence, event: Told) -> bool:
    """Decided by somebody who had only pings to go by, whatever it was called: neither the declared end had come, nor
    had the platform ended it."""
    moved = event.kind == "session.failed_over"
    if event.data.get("previous_state") != State.RUNNING or (
        not moved and event.data.get("stop_reason") not in _DEATHS
    ):
        return False
    left = left_at(evidence, evidence.sessions[event.subject], event)
    end = left.declared_end_at if left is not None else None
    if end is not None and end <= event.at + STAMPS:
        return False
    return left is None or not ended_there(evidence, left, event.at)
