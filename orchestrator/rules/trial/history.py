"""What is known of a session's past, from its events: when its pings were in doubt, and how much it was used."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.rules.states import StopReason
from orchestrator.rules.values import Account, Session, Verdict

#: Use is counted in this time before a stop.
WINDOW = timedelta(minutes=5)
_ENDS_A_DOUBT = frozenset({"recovered", "stopping", "stopped"})
#: It was found dead, and lives on elsewhere.
_MOVED = "failed_over"


@dataclass(frozen=True, kw_only=True, slots=True)
class PastEvent:
    """One event of a session, and how many interactions were counted by then."""

    kind: str
    """The last part of its type."""
    at: datetime
    interactions: int
    verdict: Verdict | None = None
    latency_ms: int = 0
    stop_reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PastDoubt:
    """A time in which every ping failed."""

    since: datetime
    until: datetime
    verdict: Verdict
    latency_ms: int
    killed: bool
    """Whether a ping at its end was the last one, and the session was dead."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Interactions within `WINDOW`. Counts are known where events say so, so the number lies between two bounds."""

    at_least: int
    at_most: int

    def __str__(self) -> str:
        exact = self.at_least == self.at_most
        return str(self.at_least) if exact else f"{self.at_least}-{self.at_most}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionPast:
    """A session with its account and what its events say."""

    session: Session
    account: Account
    events: Sequence[PastEvent] = ()
    """Oldest first."""

    @property
    def doubts(self) -> Sequence[PastDoubt]:
        """The doubts that ended, oldest first; without those that made it move to another provider."""
        return list(_doubts(self.events))


def traffic_before(past: SessionPast, at: datetime, now: datetime) -> Traffic:
    """Return the interactions in the five minutes before `at`; before now, if that is earlier."""
    end = min(at, now)
    begin, counts = end - WINDOW, _counts(past, now)
    before, since = _last(counts, begin), _first(counts, begin)
    by, after = _last(counts, end), _first(counts, end)
    least, most = max(0, by - since), max(0, after - before)
    used = past.session.last_interaction_at
    if used is not None and used <= begin:
        return Traffic(0, 0)
    return Traffic(min(most, max(least, int(used is not None and used <= end))), most)


def _counts(past: SessionPast, now: datetime) -> Sequence[tuple[datetime, int]]:
    """Return (instant, interactions counted by then), oldest first, from the beginning until now."""
    session = past.session
    known = [(one.at, one.interactions) for one in past.events]
    return [(session.created_at, 0), *known, (now, session.interactions)]


def _last(counts: Sequence[tuple[datetime, int]], by: datetime) -> int:
    return max((n for at, n in counts if at <= by), default=0)


def _first(counts: Sequence[tuple[datetime, int]], since: datetime) -> int:
    return min((n for at, n in counts if at >= since), default=counts[-1][1])


def _doubts(events: Sequence[PastEvent]) -> Iterator[PastDoubt]:
    began: PastEvent | None = None
    for one in events:
        if one.kind == "suspect":
            began = began or one
        elif began is not None and one.kind == _MOVED:
            began = None
        elif began is not None and one.kind in _ENDS_A_DOUBT:
            yield PastDoubt(
                since=began.at,
                until=one.at,
                verdict=began.verdict or Verdict.TRANSIENT,
                latency_ms=began.latency_ms,
                killed=one.stop_reason == StopReason.DEAD,
            )
            began = None
