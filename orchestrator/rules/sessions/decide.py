"""What follows from a ping, a session's death among it, and from the passing of time.

`note_ping` (in pings) records a result in the session, `after_answer` decides on it, `plan_steps` sets the one next
step of a live session."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from orchestrator.rules.backoff import backoff
from orchestrator.rules.sessions.pings import (
    JITTER,
    SLOWDOWN,
    Ping,
    given_back,
    is_busy,
    is_dead,
    is_unwell_too_long,
    is_well,
    note_ping,
    without_doubts,
)
from orchestrator.rules.sessions.stops import next_stop
from orchestrator.rules.states import State, Step, StopReason
from orchestrator.rules.text import numbered
from orchestrator.rules.values import AnySession, Due, Policy, Session, Usable, Verdict
from orchestrator.rules.values.copies import replace
from orchestrator.rules.warnings import next_warning

__all__ = [
    "BecomeRunning",
    "Decision",
    "GiveUp",
    "NextPing",
    "NoChange",
    "Ping",
    "PingAgain",
    "Stop",
    "after_answer",
    "after_ping",
    "after_plain_ping",
    "clamped_retry_after",
    "given_back",
    "is_well",
    "next_step",
    "note_ping",
    "plan_steps",
    "without_doubts",
]

#: Seconds between pings of a session that warms up and answers, but is not ready yet.
WARMING_SECONDS = 5.0
#: Seconds until the ping after the first failed one; doubles up to the ping interval.
FIRST_PING_RETRY = 1.0
#: Seconds until the one confirmation of GONE.
CONFIRM_SECONDS = 1.0
#: A provider's Retry-After, to a ping or an open, is obeyed for at most this many ping intervals.
RETRY_AFTER_INTERVALS = 10
#: A due ping waits for at most this many intervals while its model or key is rate-limited.
HELD_INTERVALS = 2


@dataclass(frozen=True, slots=True)
class PingAgain:
    """The session continues; ping it again at `at`."""

    at: datetime


@dataclass(frozen=True, slots=True)
class BecomeRunning:
    """The first good ping: the endpoint may be handed out. Ping it again at `ping_at`."""

    ping_at: datetime


@dataclass(frozen=True, slots=True)
class Stop:
    """The session is over, for this reason. With `failover`, the flow opens the next placement instead, if there is
    one."""

    reason: StopReason
    detail: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """This attempt to start has failed; try the next placement."""

    detail: str


@dataclass(frozen=True, slots=True)
class NoChange:
    """Nothing follows."""


@dataclass(frozen=True, slots=True)
class NextPing:
    """What a good ping of a session that is well changes: when it is pinged again, and its next step."""

    ping_at: datetime
    due: Due


Decision = PingAgain | BecomeRunning | Stop | GiveUp | NoChange


def after_answer(session: Session, ping: Ping, policy: Policy, now: datetime, jitter: float) -> Decision:
    """Return what follows from a ping that `note_ping` recorded, and from what the platform's own status said."""
    if ping.asleep:
        return _again(now, policy.ping_interval_seconds)
    if ping.ended is not None:
        return after_platform_status(session, now, ping.ended, expired=ping.by_schedule)
    return after_ping(session, policy, now, jitter, retry_after_seconds=ping.retry_after_seconds)


def after_ping(
    session: Session,
    policy: Policy,
    now: datetime,
    jitter: float = 0.0,
    *,
    retry_after_seconds: float | None = None,
) -> Decision:
    """Return what follows from the ping that `note_ping` recorded. `jitter` is between -1 and 1."""
    match session.state:
        case State.STARTING:
            return _while_starting(session, policy, now, jitter, retry_after_seconds)
        case State.RUNNING:
            decision = _while_running(session, policy, now, jitter, retry_after_seconds)
            goes_on = isinstance(decision, PingAgain)
            return _unwell(session, now) if goes_on and is_unwell_too_long(session, policy, now) else decision
        case State.CREATED | State.QUEUED | State.STOPPING | State.STOPPED | State.FAILED:
            return NoChange()  # its stop is decided, or it has no placement: no ping changes that
        case unknown:
            assert_never(unknown)


def clamped_retry_after(retry_after_seconds: float | None, policy: Policy) -> float:
    """Return for how many seconds a rate-limited provider gets no calls: its Retry-After, up to a bound."""
    return min(retry_after_seconds or 0.0, RETRY_AFTER_INTERVALS * policy.ping_interval_seconds)


def held_at_most(policy: Policy) -> float:
    """Return for how many seconds the Retry-After of other calls delays a session's ping; its own may delay it
    longer."""
    return policy.ping_interval_seconds * HELD_INTERVALS


def after_platform_status(session: Session, now: datetime, said: str, *, expired: bool = False) -> Decision:
    """Return what follows when the platform's own status says that it has ended, perhaps by its own schedule
    (`expired`): no second ping is needed to confirm it."""
    detail = f"the platform says so itself: {said}"
    match session.state:
        case State.RUNNING:
            return _end(session, now, detail, expired=expired)
        case State.STARTING:
            return GiveUp(detail)
        case State.CREATED | State.QUEUED | State.STOPPING | State.STOPPED | State.FAILED:
            return NoChange()  # its end is decided already
        case unknown:
            assert_never(unknown)


def after_plain_ping(
    session: Session, ping: Ping, policy: Policy, now: datetime, jitter: float
) -> NextPing | None:
    """Return what follows a good ping, if that changes only the time of the session's last and of its next ping; None
    if more changes. Its stop and its warning stay as planned."""
    if session.state is not State.RUNNING or ping.verdict is not Verdict.ALIVE or not is_well(session):
        return None
    at = _again(now, _interval(policy, jitter)).at
    due = next_step(session.state, session.stop_at, session.warn_at, at, now)
    return None if due is None else NextPing(at, due)


def plan_steps(session: AnySession, policy: Policy, now: datetime, *, ping_at: datetime | None) -> AnySession:
    """Return the session with its stop, its warning and its one next step; the funds stay on the account."""
    forecast = next_stop(session, policy)
    warned = session.warned_seconds if forecast.ends_at == session.ends_at else None
    warn_at = _warn_at(session, forecast.ends_at, policy, now)
    due = next_step(session.state, forecast.stop_at, warn_at, ping_at, now)
    return replace(
        session,
        stop_at=forecast.stop_at,
        idle_ends_at=forecast.ends_at if forecast.reason is StopReason.IDLE else None,
        stop_at_reason=forecast.reason,
        warn_at=warn_at,
        warned_seconds=warned,
        due=due,
    )


def next_step(
    state: State, stop_at: datetime | None, warn_at: datetime | None, ping_at: datetime | None, now: datetime
) -> Due | None:
    """Return the earliest step. If several are overdue, a stop comes before all others, and a warning before a ping."""
    if state is State.QUEUED:
        return Due(Step.ADMIT, stop_at) if stop_at else None
    if stop_at is None:
        return None
    step, at = Step.STOP, stop_at
    for other, its_at in ((Step.WARN, warn_at), (Step.PING, ping_at)):
        if its_at is not None and now < at and its_at < at:
            step, at = other, its_at
    return Due(step, at)


def _while_starting(
    session: Session, policy: Policy, now: datetime, jitter: float, retry_after_seconds: float | None
) -> Decision:
    """Decide while the session starts. Only GONE ends the attempt: a cold server refuses connections for minutes."""
    warming = min(WARMING_SECONDS, policy.ping_interval_seconds)
    match session.last_verdict:
        case Verdict.ALIVE:
            return BecomeRunning(_again(now, _interval(policy, jitter)).at)
        case Verdict.GONE if _confirmed(session):
            return GiveUp(f"the provider says that it is gone, twice: {session.last_ping_detail}")
        case Verdict.GONE:
            return _again(now, CONFIRM_SECONDS)
        case Verdict.TRANSIENT:
            return _again(now, _after_failures(session, policy))
        case Verdict.THROTTLED:
            return _again(now, max(warming, clamped_retry_after(retry_after_seconds, policy)))
        # the loading time that a model reports is a guess, and a user waits
        case Verdict.LOADING | Verdict.CREDENTIALS | Verdict.OUT_OF_BALANCE | Verdict.MISCONFIGURED:
            return _again(now, warming)
        case None:
            return PingAgain(now)  # never pinged
        case unknown:
            assert_never(unknown)


def _while_running(
    session: Session, policy: Policy, now: datetime, jitter: float, retry_after_seconds: float | None
) -> Decision:
    interval = _interval(policy, jitter)
    match session.last_verdict:
        case Verdict.ALIVE:
            return _again(now, interval)
        case Verdict.THROTTLED | Verdict.LOADING:
            return _again(now, max(interval, clamped_retry_after(retry_after_seconds, policy)))
        case Verdict.TRANSIENT if is_busy(session):
            return _busy(session, policy, now, interval)
        case Verdict.TRANSIENT:
            return _failing(session, policy, now)
        case Verdict.GONE:
            return _gone(session, now)
        case Verdict.CREDENTIALS | Verdict.OUT_OF_BALANCE | Verdict.MISCONFIGURED:
            return _unusable(session, policy, now, interval)
        case None:
            return PingAgain(now)  # never pinged
        case unknown:
            assert_never(unknown)


def _interval(policy: Policy, jitter: float) -> float:
    return policy.ping_interval_seconds * (1 + JITTER * jitter)


def _failing(session: Session, policy: Policy, now: datetime) -> Decision:
    seconds = _since(session.failing_since or now, now)
    if session.failures >= policy.dead_after_failures and seconds >= policy.dead_after_seconds:
        times = numbered(session.failures, "failed ping", "failed pings in a row")
        return _end(session, now, f"{times} over {seconds:.0f} s, the last: {session.last_ping_detail}")
    return _again(now, _after_failures(session, policy))


def _busy(session: Session, policy: Policy, now: datetime, interval: float) -> Decision:
    if not is_dead(session, policy, now):
        return _again(now, SLOWDOWN * interval)
    seconds = _since(session.busy_since or now, now)
    return _end(
        session, now, f"busy for {seconds:.0f} s without an answer, the last: {session.last_ping_detail}"
    )


def _gone(session: Session, now: datetime) -> Decision:
    if not _confirmed(session):
        return _again(now, CONFIRM_SECONDS)
    return _end(session, now, f"the provider says that it is gone, twice: {session.last_ping_detail}")


def _unusable(session: Session, policy: Policy, now: datetime, interval: float) -> Decision:
    seconds = _since(session.unusable_since or now, now)
    if session.unusable_since is None or seconds < policy.unusable_after_seconds:
        return _again(now, interval)
    detail = f"unusable for {seconds:.0f} s, the last: {session.last_verdict} {session.last_ping_detail}"
    return _end(session, now, detail)


def _unwell(session: Session, now: datetime) -> Decision:
    seconds = _since(session.not_well_since or now, now)
    last = f"{session.last_verdict} {session.last_ping_detail}".strip()
    return _end(session, now, f"no proof of life for {seconds:.0f} s, the last answer: {last}")


def _end(session: Session, now: datetime, detail: str, *, expired: bool = False) -> Stop:
    """Return the stop of a session that has ended by itself. It is the provider's end from the declared end on, or if
    the provider says that the session's time was over; before that, it is a death."""
    ended = session.declared_end_at is not None and now >= session.declared_end_at
    ended = ended or expired or _says_expired(session)
    return Stop(StopReason.PROVIDER_ENDED if ended else StopReason.DEAD, detail)


def _confirmed(session: Session) -> bool:
    """Return whether the last ping is at least the second that says GONE."""
    gone, seen = session.gone_since, session.last_ping_at
    return gone is not None and seen is not None and gone < seen


def _says_expired(session: Session) -> bool:
    """Return whether the provider called the session expired when it last said that it is gone."""
    gone, expired = session.gone_since, session.expired_at
    return gone is not None and expired is not None and gone <= expired


def _after_failures(session: Session, policy: Policy) -> float:
    return backoff(FIRST_PING_RETRY, max(session.failures - 1, 0), policy.ping_interval_seconds)


def _again(now: datetime, seconds: float) -> PingAgain:
    return PingAgain(now + timedelta(seconds=seconds))


def _since(instant: datetime, now: datetime) -> float:
    return (now - instant).total_seconds()


def _warn_at(session: Usable, ends_at: datetime | None, policy: Policy, now: datetime) -> datetime | None:
    """Return when to warn of the stop of a running session. A stop that has moved gets a new warning; a warning planned
    for the same stop is kept, however late this runs."""
    if session.state is not State.RUNNING or ends_at is None:
        return None
    if ends_at != session.ends_at:
        warning = next_warning(ends_at, None, policy, now, known_at=now)
    else:
        warning = next_warning(ends_at, session.warned_seconds, policy, now, known_at=session.warn_at or now)
    return warning[0] if warning else None
