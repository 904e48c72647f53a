"""What an answer about a placement means: what the placement becomes, and when the platform is asked again.

A placement is opened, resolved where the answer to its open was lost, and closed until there is proof."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from orchestrator.rules.backoff import backoff
from orchestrator.rules.sessions.decide import clamped_retry_after
from orchestrator.rules.sessions.pings import JITTER
from orchestrator.rules.states import PlacementState, State, Step
from orchestrator.rules.upstream.local_faults import LocalFault, attempts_after, wait_after
from orchestrator.rules.values import Due, Placement, Policy, Session

#: An open that was not sent, or throttled without a hint, is sent again after the first; doubles up to the longest.
#: Seconds.
FIRST_OPEN_RETRY, LONGEST_OPEN_RETRY = 2.0, 60.0
#: Asking again what became of an open, and trying a close again, wait for this, doubled for each attempt so far, up to
#: `close_retry_max_seconds`.
RESOLVE_RETRY, CLOSE_RETRY = 60.0, 1.0
#: After this many claims in which its key could not be freed, an open goes to another key, if there is one.
TRIES_TO_FREE = 2
#: A session may end this much earlier than asked for, because clocks differ.
CLOCKS_DIFFER = timedelta(minutes=1)
#: A close that was not claimed this long after it was due counts as unserved: no worker can do it.
UNSERVED_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedCall:
    """A call about a placement without the effect that was wanted, as far as is known."""

    said: str
    """What people read."""
    fault: LocalFault | None = None
    """What failed on this machine; None: the platform was asked."""
    retry_after_seconds: float | None = None
    """When the platform wants to be asked again, where it says so."""
    key_rests: bool = False
    """A close under the key is on its way that may still come, and must not hit what is opened next."""
    answered: bool = False
    """The platform itself has answered: nothing happens there."""
    possible_orphans: bool = False
    """The open may have left sessions."""
    orphans_at_most: int = 0
    """This many, where that is known."""


def resolve_after(policy: Policy, card_seconds: float | None) -> float:
    """Return after how long the effect of an open must show. `card_seconds`: what the driver says, if it does."""
    return max(policy.resolve_after_seconds, card_seconds or 0)


# what an answer is about


def is_awaited(session: Session, placement: Placement) -> bool:
    """Return whether the session starts at this placement, and at no later one."""
    return session.state is State.STARTING and session.placements == placement.n


def was_never_sent(placement: Placement, *, frees_key: bool) -> bool:
    """Return whether no open was sent, because its key was not freed first. A session under that key then belongs to
    another. `frees_key`: opens there free their key."""
    return frees_key and placement.freed_at is None


def is_unwanted(placement: Placement, *, frees_key: bool) -> bool:
    """Return whether the resolve must end what it finds. It must if the placement is to be closed, if no open was sent
    for it, or if adopting it would repeat a failed open, which may open as many sessions as the first may have left."""
    failed = placement.orphans_at_most is not None
    to_close = placement.closing_since is not None
    return to_close or failed or was_never_sent(placement, frees_key=frees_key)


def is_its_own(placement: Placement, *, foreign: bool, frees_key: bool) -> bool:
    """Return whether its open made what its resolve ended. `foreign`: the platform shows that it did not."""
    return not foreign and not was_never_sent(placement, frees_key=frees_key)


def is_stuck(session: Session, placement: Placement) -> bool:
    """Return whether freeing the key failed too often: the session is to start at another place, if it has one."""
    return is_awaited(session, placement) and placement.attempts >= TRIES_TO_FREE


def ends_at(
    placement: Placement, declared: datetime | None, lasts_seconds: float | None, now: datetime
) -> datetime | None:
    """Return when the platform ends what was opened; None if it says neither that nor how long it lasts."""
    if declared is not None or lasts_seconds is None:
        return declared
    return (placement.sent_at or now) + timedelta(seconds=lasts_seconds)


def lasts_as_asked(asked_until: datetime, end: datetime, *, is_over: bool) -> bool:
    """Return whether what was found lasts as long as was asked for: otherwise it is not ours."""
    return not is_over and end >= asked_until - CLOCKS_DIFFER


# what a placement becomes


def sent_again(
    placement: Placement, step: Step, failure: FailedCall, policy: Policy, now: datetime
) -> Placement:
    """Return the placement, with nothing done at the provider: its open is sent again, or its resolve asked again."""
    retry_after = clamped_retry_after(failure.retry_after_seconds, policy)
    rest = policy.credential_rest_seconds if failure.key_rests else 0.0
    again = wait_after(failure.fault, backoff(FIRST_OPEN_RETRY, placement.attempts - 1, LONGEST_OPEN_RETRY))
    opening = step is Step.OPEN
    return replace(
        placement,
        last_answer=failure.said,
        unproven_since=_unproven_since(placement, step, now),
        due=_due(Step.OPEN if opening else Step.RESOLVE, now, max(retry_after, rest, again)),
        lease=None,
        sent_at=None if opening else placement.sent_at,
        attempts=attempts_after(failure.fault, placement.attempts),
    )


def in_doubt(
    placement: Placement, step: Step, failure: FailedCall, policy: Policy, shows_after: float, now: datetime
) -> Placement:
    """Return the placement with an open of unknown effect. It is never opened a second time before it was resolved.

    `shows_after`: the seconds after which the effect of an open must show."""
    first = step is Step.OPEN
    later = backoff(RESOLVE_RETRY, placement.attempts, policy.close_retry_max_seconds)
    wait = shows_after if first else wait_after(failure.fault, later)
    if failure.answered:
        wait = min(wait, max(FIRST_OPEN_RETRY, policy.credential_rest_seconds))
    return replace(
        placement,
        state=PlacementState.UNKNOWN,
        last_answer=failure.said,
        unproven_since=_unproven_since(placement, step, now),
        possible_orphans=placement.possible_orphans or failure.possible_orphans,
        orphans_at_most=((placement.orphans_at_most or 0) + failure.orphans_at_most) or None,
        due=_due(Step.RESOLVE, now, wait),
        lease=None,
        attempts=0 if first else attempts_after(failure.fault, placement.attempts),
    )


def found_closed(placement: Placement, handle: str) -> Placement:
    """Return the placement with the resource that its lost open had made: it is one of the possible orphans."""
    left = placement.orphans_at_most
    more = placement.possible_orphans and left != 1
    return replace(
        placement, handle=handle, possible_orphans=more, orphans_at_most=left - 1 if left else left
    )


def closing(
    placement: Placement, pinged_since: datetime | None, begins_within: float, now: datetime
) -> Placement:
    """Return an open placement that is to be closed, but not before a claimed ping can no longer begin.

    `pinged_since`: when a ping was claimed that is not settled yet; `begins_within`: how long after that it may begin,
    in seconds."""
    at = now if pinged_since is None else max(now, pinged_since + timedelta(seconds=begins_within * 1.1))
    return replace(
        placement,
        state=PlacementState.CLOSING,
        closing_since=placement.closing_since or now,
        due=Due(Step.CLOSE, at),
        attempts=0,
    )


def ended(placement: Placement, state: PlacementState, proof: str, now: datetime) -> Placement:
    """Return the placement at its end: closed, or never opened. Nothing follows."""
    return replace(placement, state=state, proof=proof, ended_at=now, due=None, lease=None, attempts=0)


def without_proof(
    placement: Placement, failure: FailedCall, policy: Policy, jitter: float, now: datetime
) -> Placement:
    """Return the placement with its close to be retried: a close is never given up. `jitter`: between -1 and 1; it
    spreads closes that failed together by a tenth."""
    spread = 1 + JITTER * jitter
    wait = backoff(CLOSE_RETRY, placement.attempts, policy.close_retry_max_seconds) * spread
    return replace(
        placement,
        unproven_since=placement.unproven_since or now,
        last_answer=failure.said,
        due=_due(Step.CLOSE, now, wait_after(failure.fault, wait)),
        lease=None,
        attempts=attempts_after(failure.fault, placement.attempts),
    )


def unserved(placement: Placement, now: datetime) -> Placement:
    """Return the placement with its close long overdue: it counts as unproven, though no worker has tried it."""
    said = placement.last_answer or "no worker tries it: its provider or its secret is missing on the workers"
    return replace(placement, unproven_since=now, last_answer=said)


# closes that only the platform's own end can do


def closes_by_its_own_end(placement: Placement, *, closes_by_id: bool) -> bool:
    """Return whether we cannot close it: an orphan, where a key is the only address."""
    return placement.session_id is None and not closes_by_id


def is_past_its_end(placement: Placement, now: datetime | None) -> bool:
    """Return whether its declared end has passed: this proves that it is closed."""
    return placement.declared_end_at is not None and now is not None and placement.declared_end_at <= now


def orphan_closes_at(end: datetime | None, now: datetime, *, closes_by_id: bool) -> datetime:
    """Return when to close an orphan: now, or once the platform ends it, where only that can be waited for."""
    return now if closes_by_id or end is None else max(now, end)


def may_close_at_once(placement: Placement, now: datetime) -> bool:
    """Return whether its close can be tried out of turn: it is due later, and none is under way."""
    leased = placement.lease is not None and placement.lease.until > now
    return placement.due is not None and placement.due.step is Step.CLOSE and not leased


def _unproven_since(placement: Placement, step: Step, now: datetime) -> datetime | None:
    """Return since when the end is unproven. The resolve of a placement to be closed counts as a close without
    proof."""
    tried = step is Step.RESOLVE and placement.closing_since is not None
    return placement.unproven_since or (now if tried else None)


def _due(step: Step, now: datetime, seconds: float) -> Due:
    return Due(step, now + timedelta(seconds=seconds))
