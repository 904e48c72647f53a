"""What follows from the answer to an open, or to its resolve."""

from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.flows.lifecycle import failover, stops, transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.steps import late_answers
from orchestrator.flows.upstream import alarms, credentials
from orchestrator.providers.port.card import Card
from orchestrator.providers.port.driver import NotPlaced, Placed
from orchestrator.providers.port.errors import (
    CredentialRefused,
    KeyNotFree,
    LacksSecret,
    Misconfigured,
    ModelMissing,
    NotSent,
    OutcomeUnknown,
    OutOfBalance,
    ProviderError,
    Refused,
    Throttled,
    failed_here_in,
)
from orchestrator.rules.events import ownership_lost
from orchestrator.rules.sessions.decide import clamped_retry_after
from orchestrator.rules.sessions.names import is_usable_handle
from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.rules.upstream import local_faults
from orchestrator.rules.upstream.alarms import AlarmKind, alarm
from orchestrator.rules.upstream.retries import open_again_after, resolve_again_after, resolve_answered_after
from orchestrator.rules.values import Due, Placement, RefusedBy, Session

#: After so many claims in which its key could not be freed, an open goes to another key, if there is one.
TRIES_TO_FREE = 2
#: Refusals that concern more than the one session.
_ALARMS = (OutOfBalance, AlarmKind.OUT_OF_BALANCE), (Misconfigured, AlarmKind.MISCONFIGURED)

#: The answer to an open, or to its resolve.
Outcome = Placed | NotPlaced | ProviderError


def never_sent(card: Card, placement: Placement) -> bool:
    """Return whether no open was sent, because its key was not freed first. A session under that key then belongs to
    another."""
    return card.identity.frees_key and placement.freed_at is None


def settle_answer(
    work: AccountWork,
    session: Session,
    placement: Placement,
    said: Outcome,
    step: Step,
) -> None:
    """Act on the answer to an open, or to its resolve."""
    _note_what_it_ended(work, placement, said)
    match said:
        case Placed() as placed:
            settle_opened(work, session, placement, placed, step)
        case NotPlaced() as found:
            own = found.ended_handle if _is_own(work, placement, found) else None
            settle_not_opened(work, session, placement, found.proof, ended=own)
        case Refused() as refusal:
            refused = replace(placement, refused_by=_refused_by(refusal), last_answer=str(refusal))
            current = work.tx.placements.save(placement, refused)
            _note_refusal(work, placement, refusal)
            settle_not_opened(work, session, current, f"refused: {refusal}")
        case KeyNotFree() as error if _is_stuck(work, session, placement):
            settle_not_opened(work, session, _note_refusal_by_key(work, placement, error), str(error))
        case NotSent() | Throttled() as error:
            _note_lack(work, placement, error)
            _retry_later(work, session, placement, error, step)
        case error:
            settle_unknown(work, placement, error, step)


def settle_opened(
    work: AccountWork, session: Session, placement: Placement, placed: Placed, step: Step = Step.OPEN
) -> None:
    """Note that the placement is open; its first good ping is the proof. If a stop came meanwhile, close it at once."""
    if not is_usable_handle(placed.handle):
        settle_unknown(
            work, placement, OutcomeUnknown("the provider's id of the session is not plain text"), step
        )
        return
    if placement.handle != placed.handle and work.tx.placements.handle_is_known(
        placement.provider, placed.handle
    ):
        said = f"the provider answered with {placed.handle}, which another placement has"
        settle_unknown(work, placement, OutcomeUnknown(said, possible_orphans=True), step)
        return
    late_answers.disown_candidate(work.services, work.tx, placement, placed.handle, work.now)
    alarms.note_open_outcome(work.tx, placement, placed.misconfigured, work.now)
    current = work.tx.placements.save(placement, _as_open(placement, placed, work.now))
    if session.state is not State.STARTING or session.placements != placement.n:
        transitions.begin_close(work, current, session)
        return
    ready = replace(session, declared_end_at=current.declared_end_at, ping_at=work.now)
    work.keep(session, work.planned(ready))


def settle_not_opened(
    work: AccountWork, session: Session, placement: Placement, why: str, *, ended: str | None = None
) -> None:
    """End a placement that does not exist, or no longer exists (`ended`). Then try the next place, or give up the
    start; finish a stopping session."""
    if ended is not None and is_usable_handle(ended):
        transitions.end_found_closed(work.tx, placement, ended, why, work.now)
    else:
        transitions.end_never_opened(work.tx, placement, why, work.now)
    if session.state is State.STARTING and session.placements == placement.n:
        if failover.next_attempt(work, session, session) is None:
            reason = StopReason.DEAD if session.ever_ran else StopReason.START_FAILED
            stops.stop(
                work,
                session,
                reason,
                work.now,
                f"no provider left to try; last error from {placement.provider}: {why}",
            )
        return
    failover.finish_if_closed(work, session)


def _is_stuck(work: AccountWork, session: Session, placement: Placement) -> bool:
    """Return whether freeing its key failed too often, and the session has another place to go."""
    starting = session.state is State.STARTING and session.placements == placement.n
    return starting and placement.attempts >= TRIES_TO_FREE and failover.has_another(work, session, placement)


def _note_refusal_by_key(work: AccountWork, placement: Placement, error: KeyNotFree) -> Placement:
    """Mark the placement as refused by its key, and put the key into cooldown, so that other sessions do not try it at
    once."""
    if placement.credential is not None:
        rests = work.services.policy(placement.provider).close_retry_max_seconds
        until = work.now + timedelta(seconds=rests)
        work.tx.credentials.rest(placement.provider, placement.credential, until)
    refused = replace(placement, refused_by=RefusedBy.CREDENTIAL, last_answer=str(error))
    return work.tx.placements.save(placement, refused)


def _refused_by(refusal: Refused) -> RefusedBy:
    """Return how far a refusal reaches: a provider that lacks the model lacks it under every credential."""
    return RefusedBy.PROVIDER if isinstance(refusal, ModelMissing) else RefusedBy.CREDENTIAL


def _note_refusal(work: AccountWork, placement: Placement, refusal: Refused) -> None:
    """Raise the alarm that a refusal calls for: a refused key, an empty account, a configuration that cannot work."""
    if isinstance(refusal, CredentialRefused) and placement.attach is None:
        credentials.pause_refused(
            work.tx, placement, str(refusal), work.services.policy(placement.provider), work.now
        )
    kind = next((kind for error, kind in _ALARMS if isinstance(refusal, error)), None)
    if kind is not None:
        where = placement.provider, placement.credential, placement.model_id
        alarms.raise_alarm(work.tx, alarm(kind, *where, str(refusal), work.now))


def _note_what_it_ended(work: AccountWork, placement: Placement, said: Outcome) -> None:
    """Announce that freeing the key ended a session that was not opened here: another program uses the key."""
    ended = said.ended_handle
    if isinstance(said, NotPlaced) and _is_own(work, placement, said):
        return
    if ended is not None and not work.tx.leftovers.may_be_ours(placement, ended, work.now):
        work.tx.outbox.add([ownership_lost(placement, ended)])


def _is_own(work: AccountWork, placement: Placement, found: NotPlaced) -> bool:
    """Return whether the open made the session that its resolve ended."""
    card = work.services.card(placement.provider)
    return not found.foreign and (card is None or not never_sent(card, placement))


def _note_lack(work: AccountWork, placement: Placement, error: ProviderError) -> None:
    """Raise an alarm at once, since perhaps no worker has that secret and the start will fail much later."""
    if isinstance(error, LacksSecret):
        where = placement.provider, placement.credential, placement.model_id
        alarms.raise_alarm(work.tx, alarm(AlarmKind.MISCONFIGURED, *where, str(error), work.now))


def _as_open(placement: Placement, placed: Placed, now: datetime) -> Placement:
    ends_at = placed.ends_at
    if ends_at is None and placed.lasts_seconds is not None:
        ends_at = (placement.sent_at or now) + timedelta(seconds=placed.lasts_seconds)
    return replace(
        placement,
        state=PlacementState.OPEN,
        handle=placed.handle,
        candidate=None,
        endpoint_url=placed.endpoint.url,
        endpoint_model=placed.endpoint.model,
        endpoint_auth=placed.endpoint.auth.value,
        secret_ref=placed.endpoint.secret_ref,
        opened_at=now,
        declared_end_at=ends_at,
        last_answer=placed.note or "opened",
        due=None,
        lease=None,
        attempts=0,
    )


def _retry_later(
    work: AccountWork, session: Session, placement: Placement, error: NotSent | Throttled, step: Step
) -> None:
    """Retry later, since nothing was done at the provider. An open is sent again, unless the session is to stop."""
    hint = error.retry_after_seconds if isinstance(error, Throttled) else None
    retry_after = clamped_retry_after(hint, work.services.policy(placement.provider))
    late = isinstance(error, KeyNotFree) and error.late
    rest = work.services.policy(placement.provider).credential_rest_seconds if late else 0.0
    wait = open_again_after(failed_here_in(error), placement.attempts, retry_after, rest)
    opening = step is Step.OPEN
    whole_key = isinstance(error, Throttled) and error.whole_key
    credentials.note_rate_limit(work.tx, placement, retry_after, work.now, whole_key=whole_key)
    later = replace(
        placement,
        last_answer=str(error),
        unproven_since=_unproven_since(placement, step, work.now),
        due=Due(Step.OPEN if opening else Step.RESOLVE, work.now + timedelta(seconds=wait)),
        lease=None,
        sent_at=None if opening else placement.sent_at,
        attempts=local_faults.attempts_after(failed_here_in(error), placement.attempts),
    )
    saved = work.tx.placements.save(placement, later)
    if opening and session.state is not State.STARTING:
        transitions.begin_close(work, saved, session)
        failover.finish_if_closed(work, session)


def _unproven_since(placement: Placement, step: Step, now: datetime) -> datetime | None:
    """Return since when the end is unproven. The resolve of a placement to be closed counts as a close without
    proof."""
    tried = step is Step.RESOLVE and placement.closing_since is not None
    return placement.unproven_since or (now if tried else None)


def settle_unknown(work: AccountWork, placement: Placement, error: ProviderError, step: Step) -> None:
    """Resolve later, when the effect of the open must show. Never open a second time before that."""
    policy, first = work.services.policy(placement.provider), step is Step.OPEN
    if first:
        wait = work.services.resolve_after(placement.provider)
    else:
        wait = resolve_again_after(failed_here_in(error), placement.attempts, policy)
    if isinstance(error, OutcomeUnknown) and error.answered:
        wait = resolve_answered_after(wait, policy)
    orphans = isinstance(error, OutcomeUnknown) and error.possible_orphans
    left = error.at_most if isinstance(error, OutcomeUnknown) else 0
    later = replace(
        placement,
        state=PlacementState.UNKNOWN,
        last_answer=str(error),
        unproven_since=_unproven_since(placement, step, work.now),
        possible_orphans=placement.possible_orphans or orphans,
        orphans_at_most=((placement.orphans_at_most or 0) + left) or None,
        due=Due(Step.RESOLVE, work.now + timedelta(seconds=wait)),
        lease=None,
        attempts=0 if first else local_faults.attempts_after(failed_here_in(error), placement.attempts),
    )
    work.tx.placements.save(placement, later)
