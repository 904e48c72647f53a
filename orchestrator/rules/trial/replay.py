"""Pings of the past, or to come, judged by the rules under another policy."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.rules.sessions.decide import PingAgain, Stop, after_ping
from orchestrator.rules.sessions.pings import Ping, Silence, is_well, note_ping, without_doubts
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.trial.history import PastDoubt
from orchestrator.rules.values import Policy, Session, Verdict
from orchestrator.rules.values.copies import replace

#: This many pings are played: more than any policy needs that is in use.
MOST_PINGS = 500
#: The condition under which a session in doubt dies.
IF_IT_GOES_ON = "if its next pings answer as the last one did"


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """When a session ends, and why."""

    at: datetime
    reason: StopReason
    detail: str
    condition: str | None = None


def dead_within(doubt: PastDoubt, session: Session, policy: Policy) -> TrialEnd | None:
    """Return when the session would have been found dead in this doubt; None if it would have lived through it.

    Events show when a doubt began and ended, not when each ping was sent: these are played as the policy sends them,
    each with the latency of the first. The answer nearest to the end of the doubt is the one that ended it."""

    def next_at(at: datetime, following: datetime) -> datetime | None:
        half = (following - at) / 2
        if doubt.killed and at < doubt.until:
            return min(following, doubt.until) if following - half < doubt.until else doubt.until
        return following if following + half <= doubt.until else None

    began = without_doubts(replace(session, state=State.RUNNING))
    ping = Ping(doubt.verdict, doubt.latency_ms)
    return _played(began, ping, policy, doubt.since, next_at)


def dead_ahead(session: Session, policy: Policy, now: datetime) -> TrialEnd | None:
    """Return when a running session that is not well will be found dead if each ping answers as its last did; None for
    one that is well, or lives on."""
    verdict = session.last_verdict
    if session.state is not State.RUNNING or is_well(session) or verdict in (None, Verdict.ALIVE):
        return None
    silence = Silence("as before") if session.busy_since is not None else None
    ping = Ping(verdict, session.last_latency_ms or 0, session.last_ping_detail or "", silence=silence)
    found = _played(session, ping, policy, max(session.ping_at or now, now), lambda _at, following: following)
    return found and TrialEnd(found.at, found.reason, found.detail, IF_IT_GOES_ON)


def _played(
    session: Session,
    ping: Ping,
    policy: Policy,
    at: datetime,
    next_at: Callable[[datetime, datetime], datetime | None],
) -> TrialEnd | None:
    """Play the same answer again and again until it ends the session. `next_at`: from an answer's instant, and that at
    which the policy would have the next one, to when it comes; None: it does not."""
    took = timedelta(milliseconds=ping.latency_ms)
    for _ in range(MOST_PINGS):
        session = note_ping(session, ping, policy, at)
        decision = after_ping(session, policy, at)
        if isinstance(decision, Stop):
            return TrialEnd(at, decision.reason, decision.detail)
        following = next_at(at, decision.at + took) if isinstance(decision, PingAgain) else None
        if following is None:
            return None
        at = following
    return None
