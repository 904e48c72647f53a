"""The brake, checked from the events: no session dies by pings alone while most sessions of its provider fail."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Verdict
from tests.simulation.deaths import ended_there, left_at
from tests.simulation.evidence import Event, Evidence
from tests.simulation.ledger_oracle import STAMPS

Found = Iterator[tuple[str, str]]

#: More than half of five or more are a provider's fault, and all of fewer.
MANY, FEW = 5, 2
_DEATHS = frozenset({StopReason.DEAD, StopReason.PROVIDER_ENDED})
_OVER = frozenset({"session.stopping", "session.stopped", "session.failed", "session.failed_over"})
#: The event's text where a hold has expired, so that those in doubt are judged.
_EXPIRED = "maximum hold time reached"


def no_death_by_a_provider_at_fault(evidence: Evidence) -> Found:
    """Check that no session died where the provider was at fault, unless the platform itself had ended it."""
    wards: dict[str, _Ward] = defaultdict(_Ward)
    home: dict[str, str] = {}
    for event in evidence.events:
        if event.kind == "provider.released":
            wards[event.subject].release(expired=_EXPIRED in str(event.data.get("reason")))
        elif event.kind == "session.running":
            home[event.subject] = str(event.data.get("provider"))
            wards[home[event.subject]].begin(event.subject)
        elif event.subject in home:
            ward = wards[home[event.subject]]
            if event.kind in _OVER and _is_death(evidence, event) and ward.is_at_fault():
                where = home[event.subject]
                yield event.subject, f"{event.kind} as dead at {event.at}, while {where} was at fault"
            ward.note(event)
            if event.kind in _OVER:
                del home[event.subject]


class _Ward:
    """The running sessions of one provider."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.ill: set[str] = set()
        self.judges = False
        """A hold has expired, and no session there has answered since."""

    def begin(self, session: str) -> None:
        self.running.add(session)
        self.judges = False

    def release(self, *, expired: bool) -> None:
        """End the hold: every doubt starts over, or is judged."""
        self.ill.clear()
        self.judges = expired

    def note(self, event: Event) -> None:
        """Note that one of them fell ill, recovered or left."""
        if event.kind == "session.suspect":
            if event.data["last_ping"]["verdict"] == Verdict.TRANSIENT:
                self.ill.add(event.subject)
        elif event.kind == "session.recovered":
            self.ill.discard(event.subject)
            self.judges = False
        elif event.kind in _OVER:
            self.running.discard(event.subject)
            self.ill.discard(event.subject)

    def is_at_fault(self) -> bool:
        everybody, unwell = len(self.running), len(self.ill)
        if self.judges:
            return False
        return 2 * unwell > everybody if everybody >= MANY else everybody >= FEW and unwell == everybody


def _is_death(evidence: Evidence, event: Event) -> bool:
    """Return whether the end was decided by pings alone, under any name: the declared end had not come, the platform
    had not ended the session nor said so twice under an exclusive key, and no hold excuses it any more. A move is no
    death."""
    if event.data.get("previous_state") != State.RUNNING or event.data.get("stop_reason") not in _DEATHS:
        return False
    if _is_beyond_any_hold(evidence, event):
        return False
    left = left_at(evidence, evidence.sessions[event.subject], event)
    if left is None:
        return True
    if left.declared_end_at is not None and left.declared_end_at <= event.at + STAMPS:
        return False
    if left.exclusive and event.data["last_ping"]["verdict"] == Verdict.GONE:
        return False
    return not ended_there(evidence, left, event.at)


def _is_beyond_any_hold(evidence: Evidence, event: Event) -> bool:
    """Return whether it gave no proof of life for as long as its doubts and one more hold are allowed."""
    session = evidence.sessions[event.subject]
    policy = evidence.config.policy_for(session.provider)
    allowed = timedelta(seconds=policy.unusable_after_seconds + policy.brake_max_seconds)
    return session.last_alive_at is not None and event.at - session.last_alive_at >= allowed
