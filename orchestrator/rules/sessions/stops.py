"""When a session stops, and why: every rule gives an instant, and the earliest is used."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import assert_never

from orchestrator.rules.billing.money import FundsEnd, cost_limit_at, end_reason, payer_of
from orchestrator.rules.sessions.pings import under_way_until
from orchestrator.rules.states import ACTIVE, UNENDED, State, StopReason, end_state
from orchestrator.rules.text import numbered
from orchestrator.rules.values import Placement, Policy, Session, Usable
from orchestrator.rules.values.amounts import ZERO, money_text
from orchestrator.rules.values.copies import replace
from orchestrator.rules.values.horizon import HORIZON

#: Added to what is asked from a provider, in seconds: our clock stops the session, their end is the
#: backstop, and a close that is late or retried must still come before it.
ASK_MARGIN_SECONDS = 300

#: Of several stops at one instant, the first in this order is kept: the user's own terms, then the model's, then
#: money, then other causes.
PRECEDENCE = (
    StopReason.USER,
    StopReason.OPERATOR,
    StopReason.MAX_DURATION,
    StopReason.MAX_INTERACTIONS,
    StopReason.IDLE,
    StopReason.MAX_COST,
    StopReason.MODEL_LIMIT,
    StopReason.BUDGET_EXHAUSTED,
    StopReason.BALANCE_EXHAUSTED,
    StopReason.PROVIDER_ENDED,
    StopReason.DEAD,
    StopReason.START_FAILED,
    StopReason.START_TIMEOUT,
    StopReason.QUEUE_TIMEOUT,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rule that will stop the session: when, and the evidence as a sentence.

    The stop takes effect at `at` and is decided `grace` later: until then, interactions from before `at` may still be
    reported."""

    reason: StopReason
    at: datetime
    detail: str
    grace: timedelta = timedelta(0)

    @property
    def decided_at(self) -> datetime:
        return self.at + self.grace


@dataclass(frozen=True, slots=True)
class Forecast:
    """The coming stop, as things are now, and every rule that applies, the earliest first.

    It is decided at `stop_at`, and takes effect at `ends_at`. These differ only while idle time has its grace."""

    stop_at: datetime | None
    ends_at: datetime | None
    reason: StopReason | None
    detail: str | None
    candidates: tuple[Candidate, ...]


def next_stop(session: Usable, policy: Policy, funds_end: FundsEnd | None = None) -> Forecast:
    """Return the coming stop. The rule that is decided first ends the session, and the earliest instant of all rules is
    when that takes effect.

    So an idle time that runs out before another rule's instant has no grace beyond that instant."""
    candidates = tuple(sorted(_candidates(session, policy, funds_end), key=_urgency))
    if not candidates:
        return Forecast(None, None, None, None, ())
    first = candidates[0]
    decided_at = min(candidate.decided_at for candidate in candidates)
    return Forecast(decided_at, first.at, first.reason, first.detail, candidates)


def idle_end(session: Usable, policy: Policy) -> Candidate | None:
    """Return when the idle time of a running session runs out, as far as use is known; None if it is not limited."""
    return next(_idle(session, policy), None) if session.state is State.RUNNING else None


def idle_by(session: Usable, policy: Policy, at: datetime) -> Candidate | None:
    """Return the idle end if it comes before a stop at `at`: then it ended the session, without further grace."""
    idle = idle_end(session, policy)
    return idle if idle is not None and idle.at <= at else None


def proves_use(session: Usable, policy: Policy, began: datetime) -> bool:
    """Return whether use that began then keeps a session from being idle. It does not if the idle time had run out
    before."""
    idle = idle_end(session, policy)
    return idle is None or began < idle.at


def interactions_limit(session: Usable) -> tuple[int, StopReason] | None:
    """Return the limit of interactions that applies, and its reason; the session's own where both are equal."""
    own, model = session.max_interactions, session.model_max_interactions
    if own is not None and (model is None or own <= model):
        return own, StopReason.MAX_INTERACTIONS
    return None if model is None else (model, StopReason.MODEL_LIMIT)


def reason_without_place(session: Session) -> StopReason:
    """Return why a session stops that starts, or moves, and has no place left to try."""
    return StopReason.DEAD if session.ever_ran else StopReason.START_FAILED


def stopped(
    session: Session,
    placements: Sequence[Placement],
    reason: StopReason,
    at: datetime,
    detail: str | None,
    now: datetime,
) -> Session:
    """Return the session with its stop decided now, with effect at `at`. It is over at once if none of its placements
    may still cost money."""
    stopping = replace(
        session, state=State.STOPPING, stop_reason=reason, stop_detail=detail, stopped_at=at, ended_at=None
    )
    return finished(stopping, placements, now)


def finished(session: Session, placements: Sequence[Placement], now: datetime) -> Session:
    """Return a stopping session as ended, if all its placements have ended; as it is if not."""
    if session.stop_reason is None or any(one.state in UNENDED for one in placements):
        return session
    state = end_state(session.stop_reason, ever_ran=session.ever_ran)
    return replace(session, state=state, ended_at=now)


def is_used_up(session: Session, policy: Policy, now: datetime) -> bool:
    """Return whether a limit of the session is used up, so that it would stop at once."""
    limit = interactions_limit(session)
    if limit is not None and session.interactions >= limit[0]:
        return True
    stop_at = next_stop(session, policy).stop_at
    return session.state in ACTIVE and stop_at is not None and stop_at <= now


def seconds_at_its_place(session: Session, policy: Policy, now: datetime) -> int | None:
    """Return the longest total duration that the present placement can serve; None without a declared end. A starting
    session may need all of its time to start."""
    if session.declared_end_at is None:
        return None
    starts_by = (session.starting_at or now) + timedelta(seconds=policy.start_timeout_seconds)
    return int((session.declared_end_at - (session.running_at or starts_by)) / timedelta(seconds=1))


def ask_duration(session: Session, policy: Policy, card_shortest: int, now: datetime) -> int:
    """Return for how many seconds to ask a provider: the provider's end must come after any stop of ours."""
    start_ends = _later(session.starting_at or now, policy.start_timeout_seconds)
    limits = (
        session.max_duration_seconds,
        session.model_max_duration_seconds,
        session.plan_max_duration_seconds,
    )
    runs_until = _later(session.running_at or now, min(limit for limit in limits if limit is not None))
    wanted = _seconds_left(start_ends, now) + _seconds_left(runs_until, now) + ASK_MARGIN_SECONDS
    return max(card_shortest, ceil(wanted))


def _candidates(session: Usable, policy: Policy, funds_end: FundsEnd | None) -> Iterator[Candidate]:
    match session.state:
        case State.QUEUED:
            yield from _while_queued(session)
        case State.STARTING:
            yield _start_timeout(session, policy)
            yield from _durations(session)
            yield from _interactions(session)
        case State.RUNNING:
            yield from _durations(session)
            yield from _interactions(session)
            yield from _idle(session, policy)
            yield from _costs(session, funds_end)
            yield from _declared_end(session)
        case State.CREATED | State.STOPPING | State.STOPPED | State.FAILED:
            return  # no rule stops a session that does not run
        case unknown:
            assert_never(unknown)


def _while_queued(session: Usable) -> Iterator[Candidate]:
    if session.queue_deadline_at is not None:
        detail = "still queued at the end of the time that its plan lets it wait"
        yield Candidate(StopReason.QUEUE_TIMEOUT, session.queue_deadline_at, detail)


def _start_timeout(session: Usable, policy: Policy) -> Candidate:
    """Return the stop of a start that takes too long. It ends a session that ran before as dead, not as failed."""
    reason = StopReason.DEAD if session.ever_ran else StopReason.START_TIMEOUT
    seconds = policy.start_timeout_seconds
    at = _later(session.starting_at or session.created_at, seconds)
    return Candidate(reason, at, f"no good ping within {seconds:g} s of starting")


def _durations(session: Usable) -> Iterator[Candidate]:
    """Yield the limits of duration. All three count from the first good ping, and continue through failovers."""
    if session.running_at is None:
        return
    limits = (
        (session.max_duration_seconds, StopReason.MAX_DURATION, "its own limit"),
        (session.model_max_duration_seconds, StopReason.MODEL_LIMIT, "the model's limit"),
        (session.plan_max_duration_seconds, StopReason.MAX_DURATION, "the plan's ceiling"),
    )
    for seconds, reason, limit in limits:
        if seconds is not None:
            detail = f"{limit} of {seconds} s since the first good ping"
            yield Candidate(reason, _later(session.running_at, seconds), detail)


def _interactions(session: Usable) -> Iterator[Candidate]:
    limit = interactions_limit(session)
    if limit is None or session.limit_reached_at is None or session.interactions < limit[0]:
        return  # not these: the session was extended since
    owner = "its own" if limit[1] is StopReason.MAX_INTERACTIONS else "the model's"
    detail = f"{numbered(session.interactions, 'interaction')} reported, {owner} limit is {limit[0]}"
    yield Candidate(limit[1], session.limit_reached_at, detail)


def _idle(session: Usable, policy: Policy) -> Iterator[Candidate]:
    """Yield the idle stop.

    A session that is being moved cannot be used, so its idle time restarts when it runs again. An interaction under way
    is use until it ends, or for as long as its end may be late."""
    seconds = session.idle_seconds
    if seconds is None:
        return
    began = [at for at in (session.running_at, session.running_since) if at is not None]
    if not began:
        return
    used = _used_until(session, policy)
    grace = timedelta(seconds=policy.idle_grace_seconds)
    if used is not None and used >= max(began):
        detail = f"idle for {seconds} s since the last interaction"
        yield Candidate(StopReason.IDLE, _later(used, seconds), detail, grace)
    else:
        detail = f"idle for {seconds} s since it began to run"
        yield Candidate(StopReason.IDLE, _later(max(began), seconds), detail, grace)


def _used_until(session: Usable, policy: Policy) -> datetime | None:
    last, until = session.last_interaction_at, under_way_until(session, policy)
    return max(last, until) if last is not None and until is not None else last or until


def _costs(session: Usable, funds_end: FundsEnd | None) -> Iterator[Candidate]:
    limit_at = cost_limit_at(session)
    if limit_at is not None:
        most = money_text(session.max_cost or ZERO)
        detail = f"the next block would cost more than its max_cost of {most} {session.currency}"
        yield Candidate(StopReason.MAX_COST, limit_at, detail)
    if funds_end is not None and funds_end.session_id == session.id:
        yield _funds(funds_end)


def _funds(end: FundsEnd) -> Candidate:
    return Candidate(end_reason(end.by), end.at, f"{payer_of(end.by)} cannot pay the next block")


def _declared_end(session: Usable) -> Iterator[Candidate]:
    if session.declared_end_at is not None:
        detail = "the end that the provider declared for this placement"
        yield Candidate(StopReason.PROVIDER_ENDED, session.declared_end_at, detail)


def _urgency(candidate: Candidate) -> tuple[datetime, int]:
    return candidate.at, PRECEDENCE.index(candidate.reason)


def _later(at: datetime, seconds: float) -> datetime:
    """Return `at + seconds`, at most the calendar's end."""
    return at + timedelta(seconds=min(seconds, HORIZON.total_seconds()))


def _seconds_left(until: datetime, now: datetime) -> float:
    return max(0.0, (until - now).total_seconds())
