"""The brake: if most of a provider's sessions fall ill at once, the provider is at fault, not the sessions.

A doubt about a session counts, however old it is, until the session answers."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from orchestrator.rules.sessions.decide import PingAgain, after_ping, plan_steps
from orchestrator.rules.sessions.pings import Ping, given_back, is_unwell_too_long, note_ping
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.text import numbered
from orchestrator.rules.values import Brake, Policy, Session, Verdict
from orchestrator.rules.values.doubts import doubted_since, is_in_doubt

#: With fewer sessions than this, all of them must be ill, and at least `brake_min_sessions`.
MANY = 5
#: While braked, sessions in doubt are pinged this much less often.
SLOWDOWN = 2.0
#: This many sessions leave a braked provider at once; more may leave once these run elsewhere.
FIRST_MOVES = 3


class Sign(Enum):
    """What the ping of one session shows about its provider and key."""

    ILL = "it is in doubt"
    FROZEN = "it would be stopped as dead"
    RECOVERED = "it was in doubt, and answers"


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The sessions of one provider, or of one credential. Each counts once."""

    well: int
    """Sessions that run and have answered recently. Counted only as far as the decision needs."""
    doubtful: int
    """Sessions that run and are in doubt."""
    died: int
    """Sessions found dead recently, whether stopped or moved, without deaths that the platform confirmed."""

    @property
    def ill(self) -> int:
        return self.doubtful + self.died

    @property
    def seen(self) -> int:
        """The sessions with a recent result; one with a ping still under way is not counted."""
        return self.well + self.ill


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """How the sessions at a brake have recovered."""

    recovered: int
    """Sessions that were in doubt there, and have answered since it began."""
    doubtful: int
    """Sessions that run there and are in doubt."""
    running: int
    """Sessions that run there, counted up to `MANY`."""
    answers: bool
    """Whether a session that runs there and is not in doubt has answered since it began."""


def is_at_fault(health: Health, smallest: int) -> bool:
    """Return whether more than half are ill; if there are few, all. Without a session in doubt there is nothing to
    hold."""
    if not health.doubtful:
        return False
    if health.seen >= MANY:
        return 2 * health.ill > health.seen
    return health.seen >= smallest and health.ill == health.seen


def why_at_fault(health: Health, policy: Policy) -> str | None:
    """Return why a brake must begin; None if it must not."""
    if not is_at_fault(health, policy.brake_min_sessions):
        return None
    died = f", {health.died} died within {window(policy).total_seconds():.0f} s" if health.died else ""
    return f"{numbered(health.doubtful, 'session')} in doubt{died}, answering: {health.well}"


def why_over(seen: Recovery, wanted: int) -> str | None:
    """Return why a brake ends early; None while it is needed.

    Among few sessions, fewer than `wanted` can ever recover; even then, the brake must not keep dead sessions
    running."""
    if seen.doubtful == 0:
        return "no session there is in doubt any more"
    if seen.recovered >= min(wanted, seen.doubtful):
        return f"{numbered(seen.recovered, 'session')} passed a ping again, still in doubt: {seen.doubtful}"
    if seen.running < MANY and seen.answers:
        return f"one of {seen.running} sessions there passed a ping"
    return None


def may_move(under_way: int, arrived: int) -> bool:
    """Return whether one more session may leave a braked provider. `under_way`: sessions that left it and start
    elsewhere; `arrived`: those that left it and run elsewhere."""
    return under_way < max(FIRST_MOVES, arrived)


def is_holding(brake: Brake, now: datetime) -> bool:
    """Return whether the brake is in force. Once its time is over, the sessions in doubt are judged."""
    return brake.expired_at is None and now < brake.until


def judged_since(brakes: Collection[Brake], now: datetime) -> datetime | None:
    """Return the end of the last brake that has expired: sessions in doubt at that time are no longer held."""
    return max((one.expired_at or one.until for one in brakes if not is_holding(one, now)), default=None)


def is_judged(brakes: Collection[Brake], session: Session, now: datetime) -> bool:
    """Return whether the session was in doubt already when a brake over it expired: no brake holds it again."""
    judged, doubted = judged_since(brakes, now), doubted_since(session)
    return judged is not None and doubted is not None and doubted <= judged


def held_by(brakes: Collection[Brake], session: Session, now: datetime) -> Brake | None:
    """Return the brake at its provider or credential that holds the session."""
    if is_judged(brakes, session, now):
        return None
    return next((one for one in brakes if is_holding(one, now)), None)


def is_held_too_long(session: Session, policy: Policy, now: datetime) -> bool:
    """Return whether the session was held before, and has given no proof of life for longer than one brake excuses.
    Without this, brakes that begin and end in turn could hold a session for ever."""
    return session.held_since is not None and is_unwell_too_long(session, policy, now)


def is_forgotten(brake: Brake, policy: Policy, now: datetime, *, doubted: bool, answered: bool) -> bool:
    """Return whether an expired brake is no longer needed. `doubted`: a session there is in doubt since then;
    `answered`: one has answered since."""
    if brake.expired_at is None or doubted:
        return False
    return answered or now >= brake.expired_at + timedelta(seconds=policy.brake_max_seconds)


def slowed(session: Session, policy: Policy, now: datetime) -> Session:
    """Return a held session with less frequent pings, whatever fallback step its claim wrote."""
    again = now + timedelta(seconds=policy.ping_interval_seconds * SLOWDOWN)
    return replace(session, ping_at=again, held_since=session.held_since or now)


def slowed_where_held(session: Session, brakes: Collection[Brake], policy: Policy, now: datetime) -> Session:
    """Return the session after its ping, with less frequent pings if it is in doubt and a brake holds it."""
    held = is_in_doubt(session) and held_by(brakes, session, now) is not None
    return slowed(session, policy, now) if held else session


def after_failed_ping(
    session: Session,
    ping: Ping,
    brakes: Collection[Brake],
    policy: Policy,
    now: datetime,
    jitter: float,
) -> Session | None:
    """Return a session after a ping that only failed, if only its next ping follows; None if more follows."""
    noted = note_ping(session, ping, policy, now)
    decision = after_ping(noted, policy, now, jitter)
    if not isinstance(decision, PingAgain):
        return None
    after = slowed_where_held(replace(given_back(noted), ping_at=decision.at), brakes, policy, now)
    return plan_steps(after, policy, now, ping_at=after.ping_at)


def sign_of(before: Session, after: Session) -> Sign | None:
    """Return what a ping after which the session goes on shows about its provider; None where it shows nothing new, as
    of a session that sleeps."""
    if after.last_ping_at == before.last_ping_at or after.state is not State.RUNNING:
        return None
    if is_in_doubt(after):
        return Sign.ILL
    return Sign.RECOVERED if is_in_doubt(before) else None


def is_lost(reason: StopReason, *, confirmed: bool) -> bool:
    """Return whether a session that ends is dead as far as its pings show: a brake may hold it, and it counts against
    its provider."""
    return reason is StopReason.DEAD and not confirmed


def is_confirmed(session: Session, *, platform_says: bool, own_key: bool) -> bool:
    """Return whether a death is confirmed by more than pings. `platform_says`: its status, or its list. `own_key`: a
    key that serves this session alone, so that GONE can mean no other."""
    return platform_says or (own_key and session.last_verdict is Verdict.GONE)


def takes_effect_at(session: Session, reason: StopReason, now: datetime) -> datetime:
    """Return when an end that is found now takes effect."""
    return paid_until(session, now) if reason is StopReason.DEAD else now


def paid_until(session: Session, now: datetime) -> datetime:
    """Return when the cost of a session ends that is found dead now; after a hold, that is its last proof of life."""
    if session.held_since is None or session.last_alive_at is None:
        return now
    return min(session.last_alive_at, now)


def window(policy: Policy) -> timedelta:
    """Return how long an answer counts for a session, and a death against its provider: every running session is pinged
    at least once within it."""
    round_of_pings = SPREAD * policy.ping_interval_seconds + policy.ping_timeout_seconds
    return timedelta(seconds=max(policy.brake_window_seconds, round_of_pings))


#: The longest wait between two pings, in intervals: they are spread by a tenth, and begin within a moment.
SPREAD = 1.2
