"""The effects of pings on a session: streak of failures, doubts, proof of life.

A busy server is not a dead one: while it works on a long request, it answers no other.

A ping that was accepted and not answered in time suggests a busy server if the server answers elsewhere, or if an
interaction is reported to be under way. This suggestion has an end: after `busy_dead_after_seconds` without a sign of
life, the session is dead."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from orchestrator.rules.states import State
from orchestrator.rules.values import AnySession, Placement, Policy, Session, Usable, Verdict
from orchestrator.rules.values.copies import replace

#: Pings of a busy session come this much less often: each waits for the request that occupies the server.
SLOWDOWN = 2.0
#: The most interactions under way that a session stores; if there are more, the newest are kept.
MOST_UNDER_WAY = 100
#: The share of the wait by which pings and repeated closes are spread.
JITTER = 0.1


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


#: Verdicts that no broken server gives.
_SIGNS_OF_LIFE = frozenset({Verdict.ALIVE, Verdict.THROTTLED})


@dataclass(frozen=True, slots=True)
class Ping:
    """The result of one ping."""

    verdict: Verdict
    latency_ms: int
    detail: str = ""
    retry_after_seconds: float | None = None
    lives: str | None = None
    """What the platform's own status said, where it said that the session lives."""
    silence: Silence | None = None
    """Set if it was accepted, and not answered in time."""
    expired: bool = False
    """Whether it is GONE, and the platform says that its time was over."""
    ended: str | None = None
    """What the platform's own status said, where it said that the session has ended."""
    by_schedule: bool = False
    """It said so, and that this was by its own schedule."""
    asleep: bool = False
    """It was not sent: the session is scaled to zero, and would have been woken."""
    variant: str | None = None
    """The form of the ping that was answered, where there are several."""
    foreign_handle: str | None = None
    """What its key has instead of the session."""
    key_refused: str | None = None
    """Why its key can take no other session."""

    @property
    def resolved(self) -> "Ping":
        """Return the ping. A GONE that the platform's own status contradicts becomes TRANSIENT."""
        if self.verdict is not Verdict.GONE or self.lives is None:
            return self
        detail = f"{self.detail}; but the platform's status says that it lives: {self.lives}"
        return replace(self, verdict=Verdict.TRANSIENT, detail=detail)


def is_plain(ping: Ping, placement: Placement) -> bool:
    """Return whether the ping shows nothing but how its session is, so that many can be settled together."""
    more = (ping.ended, ping.foreign_handle, ping.key_refused)
    same_form = ping.variant in (None, placement.ping_variant)
    awake = not ping.asleep and placement.asleep_since is None
    return same_form and awake and all(one is None for one in more)


def reaches(session: Session, ping: Ping) -> bool | None:
    """Return whether a ping has reached its provider; None where it shows nothing of that. Only pings of running
    sessions do, and no failure where the platform's own status says that the session has ended."""
    if session.state is not State.RUNNING or ping.asleep:
        return None
    if ping.verdict is not Verdict.TRANSIENT:
        return True
    return False if ping.ended is None else None


def only_failed(session: Session, placement: Placement, ping: Ping) -> bool:
    """Return whether a running session's ping failed, and shows nothing else."""
    failed = session.state is State.RUNNING and ping.verdict is Verdict.TRANSIENT
    return failed and is_plain(ping, placement)


def note_ping(session: Session, ping: Ping, policy: Policy, now: datetime) -> Session:
    """Return the session with the result of a ping recorded; `after_answer` decides on it."""
    if ping.asleep:
        return without_doubts(session)
    ping = ping.resolved
    loading = _since(session.loading_since or now, now)
    overdue = ping.verdict is Verdict.LOADING and loading >= policy.start_timeout_seconds
    verdict = Verdict.TRANSIENT if overdue else ping.verdict
    failures, failing_since = _streak(session, verdict, now)
    considered = session if ping.lives is None else replace(session, gone_since=None)
    gone_since, loading_since, unusable_since = _doubts(considered, verdict, now)
    is_alive = verdict is Verdict.ALIVE
    noted = replace(
        session,
        last_ping_at=now,
        last_verdict=verdict,
        last_latency_ms=ping.latency_ms,
        last_ping_detail=f"still loading after {loading:.0f} s" if overdue else ping.detail,
        last_alive_at=now if is_alive else session.last_alive_at,
        failures=failures,
        failing_since=failing_since,
        gone_since=gone_since,
        expired_at=now if ping.expired and verdict is Verdict.GONE else session.expired_at,
        loading_since=loading_since,
        unusable_since=unusable_since,
        not_well_since=None if is_alive else session.not_well_since or now,
        held_since=None if is_alive else session.held_since,
    )
    if verdict in _SIGNS_OF_LIFE:
        return without_busy(noted)
    seen = evidence(session, ping.silence, policy, now)
    return noted if seen is None else _busy(noted, seen, policy, now)


def may_be_the_last(session: Session, ping: Ping, policy: Policy, now: datetime) -> bool:
    """Return whether this ping may end the session. If so, the platform's own status, if it has one, is asked first."""
    noted = note_ping(session, ping, policy, now)
    if is_unwell_too_long(noted, policy, now):
        return True
    match noted.last_verdict:
        case Verdict.GONE:
            return True
        case Verdict.TRANSIENT if is_busy(noted):
            return is_dead(noted, policy, now)
        case Verdict.TRANSIENT:
            return noted.failures >= policy.dead_after_failures
        case Verdict.CREDENTIALS | Verdict.OUT_OF_BALANCE | Verdict.MISCONFIGURED:
            return _since(noted.unusable_since or now, now) >= policy.unusable_after_seconds
        case _:
            return False


def is_unwell_too_long(session: Session, policy: Policy, now: datetime) -> bool:
    """Return whether the session has given no proof of life for longer than its last verdict allows, whatever other
    verdicts came between."""
    since, allowed = session.not_well_since, unwell_bound(session, policy)
    return since is not None and allowed is not None and since < now and _since(since, now) >= allowed


def unwell_bound(session: Session, policy: Policy) -> float | None:
    """Return for how many seconds its last verdict allows the session to go without a proof of life.

    None if other counts decide: a failed ping shows nothing of the session itself, but its streak, or how long it
    has been busy, does. A brake allows one hold more, however many there were. Each hold restarts the streak, so from
    then on a failed ping has a bound too."""
    verdict, held = session.last_verdict, session.held_since is not None
    if verdict is None or verdict is Verdict.ALIVE or (verdict is Verdict.TRANSIENT and is_busy(session)):
        return None
    if verdict is Verdict.TRANSIENT and not held:
        return None
    return _allowed(verdict, policy) + (policy.brake_max_seconds if held else 0.0)


def given_back(session: Session) -> Session:
    """Return the session with its lease given back."""
    return replace(session, lease=None, attempts=0)


def at_rest(session: Session) -> Session:
    """Return the session without a next step."""
    return replace(given_back(session), ping_at=None, warn_at=None, due=None)


def without_doubts(session: Session) -> Session:
    """Return the session without streak and doubts: for its next placement, or when a brake is lifted."""
    return replace(
        without_busy(session),
        failures=0,
        failing_since=None,
        gone_since=None,
        loading_since=None,
        unusable_since=None,
        not_well_since=None,
        held_since=None,
    )


def spread(policy: Policy) -> float:
    """Return the seconds over which retries after a shared Retry-After are spread."""
    return policy.ping_interval_seconds * JITTER


def _busy(noted: Session, seen: str, policy: Policy, now: datetime) -> Session:
    detail = f"{noted.last_ping_detail}; busy: {seen}"
    return replace(note_busy(noted, policy, now), last_ping_detail=detail)


def is_well(session: Usable) -> bool:
    """Return whether the session has no streak and no doubt, and no brake has held it since its last proof of life."""
    return (
        session.failures == 0
        and session.failing_since is None
        and session.gone_since is None
        and session.loading_since is None
        and session.unusable_since is None
        and session.busy_since is None
        and session.not_well_since is None
        and session.held_since is None
    )


def answered_last(session: Session) -> bool:
    """Return whether what was last heard of the session is good, or nothing was: the answer to a ping, or a success
    that was reported after it."""
    if session.failures > 0 or session.not_well_since is not None:
        return False
    alive, pinged = session.last_alive_at, session.last_ping_at
    reported = alive is not None and pinged is not None and alive > pinged
    return session.last_verdict in (None, Verdict.ALIVE) or reported


def _streak(session: Session, verdict: Verdict, now: datetime) -> tuple[int, datetime | None]:
    """Return the number of failures in a row. TRANSIENT adds one; every other verdict is an answer and ends the
    streak."""
    if verdict is Verdict.TRANSIENT:
        return session.failures + 1, session.failing_since or now
    return 0, None


def _doubts(
    session: Session, verdict: Verdict, now: datetime
) -> tuple[datetime | None, datetime | None, datetime | None]:
    """Return since when it is gone, loading, unusable: each from its first sight until something contradicts it.

    Only a sign of life contradicts all of them. TRANSIENT contradicts none, as it shows nothing of the session. GONE,
    LOADING and the others do not contradict each other either: if they took turns, no doubt would ever last long
    enough."""
    gone, loading, unusable = session.gone_since, session.loading_since, session.unusable_since
    match verdict:
        case Verdict.ALIVE | Verdict.THROTTLED:
            return None, None, None
        case Verdict.TRANSIENT:
            return gone, loading, unusable
        case Verdict.GONE:
            return gone or now, loading, unusable
        case Verdict.LOADING:
            return None, loading or now, None
        case Verdict.CREDENTIALS | Verdict.OUT_OF_BALANCE | Verdict.MISCONFIGURED:
            return None, loading, unusable or now
        case unknown:
            assert_never(unknown)


def _allowed(verdict: Verdict, policy: Policy) -> float:
    """Return the seconds allowed without a proof of life: the one bound, or that of this kind of doubt if longer."""
    longest = max(policy.throttled_after_seconds, policy.start_timeout_seconds)
    own = {
        Verdict.THROTTLED: policy.throttled_after_seconds,
        Verdict.LOADING: policy.start_timeout_seconds,
        Verdict.TRANSIENT: longest,  # whatever came before it
    }
    return max(own.get(verdict, 0.0), policy.unusable_after_seconds)


def _since(instant: datetime, now: datetime) -> float:
    return (now - instant).total_seconds()
