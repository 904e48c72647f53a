"""A busy server is not a dead one: while it works on a long request, it answers no other.

A ping that was accepted and not answered in time suggests a busy server if the server answers elsewhere, or if an
interaction is reported to be under way. This suggestion has an end: after `busy_dead_after_seconds` without a sign of
life, the session is dead."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.rules.states import State
from orchestrator.rules.values import AnySession, Policy, Session, Usable
from orchestrator.rules.values.copies import replace

#: Pings of a busy session come this much less often: each waits for the request that occupies the server.
SLOWDOWN = 2.0
#: The most interactions under way that a session stores; if there are more, the newest are kept.
MOST_UNDER_WAY = 100


@dataclass(frozen=True, slots=True)
class Silence:
    """A ping that was accepted and not answered in time. `seen` says what answered elsewhere; None: nothing did."""

    seen: str | None = None


def evidence(session: Session, silence: Silence | None, policy: Policy, now: datetime) -> str | None:
    """Return the evidence that a running session is busy; None if there is none."""
    if silence is None or session.state is not State.RUNNING:
        return None
    if silence.seen is not None:
        return silence.seen
    until = under_way_until(session, policy)
    return "an interaction is under way" if until is not None and now < until else None


def under_way_until(session: Usable, policy: Policy) -> datetime | None:
    """Return until when the newest interaction under way counts if its end is never reported; None if none is under
    way."""
    if not session.under_way:
        return None
    served = [at for at in session.under_way if session.running_since is None or at >= session.running_since]
    return max(served) + timedelta(seconds=policy.busy_dead_after_seconds) if served else None


def note_busy(session: Session, policy: Policy, now: datetime) -> Session:
    """Return the session with one more busy ping, which is neither a failure nor part of a streak."""
    since = session.busy_since or now
    long_enough = (now - since).total_seconds() >= policy.busy_warn_after_seconds
    warned = session.busy_warned_at or (now if long_enough else None)
    return replace(session, failures=0, failing_since=None, busy_since=since, busy_warned_at=warned)


def without_busy(session: AnySession) -> AnySession:
    """Return the session as it is after a sign of life."""
    if session.busy_since is None and session.busy_warned_at is None:
        return session
    return replace(session, busy_since=None, busy_warned_at=None)


def is_busy(session: Session) -> bool:
    """Return whether a last ping that was TRANSIENT found the session busy: every other TRANSIENT is a failure."""
    return session.busy_since is not None and session.failures == 0


def may_hang(session: Session) -> bool:
    """Return whether the next ping may take its whole timeout, since the last one was not answered."""
    return session.failures > 0 or session.busy_since is not None


def is_dead(session: Session, policy: Policy, now: datetime) -> bool:
    """Return whether it has been busy for longer than an answer may take."""
    return (
        session.busy_since is not None
        and (now - session.busy_since).total_seconds() >= policy.busy_dead_after_seconds
    )


def note_begun(session: AnySession, began: datetime, policy: Policy, now: datetime) -> AnySession:
    """Return the session with an interaction under way since `began`, without those that no longer count."""
    oldest = now - timedelta(seconds=policy.busy_dead_after_seconds)
    kept = {at for at in (*session.under_way, began) if at >= oldest}
    return replace(session, under_way=tuple(sorted(kept)[-MOST_UNDER_WAY:]))


def note_ended(session: AnySession, began: datetime) -> AnySession:
    """Return the session without the interaction that was under way since `began`."""
    if began not in session.under_way:
        return session
    return replace(session, under_way=tuple(at for at in session.under_way if at != began))
