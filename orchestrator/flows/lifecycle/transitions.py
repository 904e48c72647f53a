"""Begin the next placement of a session, and end one that is no longer wanted. Stop a session with effect at an
instant; start the running time of one that answered its first ping."""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from orchestrator.flows.engine.services import PING_BEGINS_WITHIN, Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.places import Place
from orchestrator.rules import events
from orchestrator.rules.billing.money import end_reason, payer_of
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.sessions.pings import at_rest, given_back, without_doubts
from orchestrator.rules.sessions.stops import ask_duration, idle_by, stopped
from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.rules.upstream.placements import closing, ended, found_closed
from orchestrator.rules.values import Due, Model, Placement, Session
from orchestrator.rules.values.copies import replace
from orchestrator.store.transaction import Transaction


def begin_placement(
    services: Services, tx: Transaction, session: Session, model: Model, place: Place, now: datetime
) -> Placement:
    """Write the intent: a placement to be opened. `session.placements` is its n already."""
    card = services.card(place.provider)
    assert card is not None
    credential = place.credential
    shortest = ask_duration(
        session, services.policy(place.provider), card.lifecycle.shortest_duration_seconds, now
    )
    placement = Placement(
        id=tx.installation.new_placement_id(),
        session_id=session.id,
        account_id=session.account_id,
        n=session.placements,
        provider=place.provider,
        credential=credential.ref if credential else None,
        fingerprint=credential.fingerprint if credential else None,
        exclusive=card.identity.exclusive_credentials and credential is not None,
        serialised=card.identity.serialised and credential is not None,
        model_id=model.id,
        provider_model_id=model.provider_model_ids.get(place.provider, model.id),
        model_type=model.type,
        nodes=session.nodes,
        price_per_node_hour=session.price_per_node_hour,
        currency=session.currency,
        state=PlacementState.OPENING,
        options=dict(session.provider_options),
        attach=session.attach,
        duration_seconds=shortest,
        created_at=now,
        due=Due(Step.OPEN, place.at),
    )
    if place.at <= now:
        tx.placements.wake(Step.OPEN)
    return tx.placements.insert(placement)


def starting_at(session: Session, place: Place, now: datetime) -> Session:
    """Return the session as it enters STARTING for its next placement at this place."""
    return replace(
        waiting_at(session, now),
        queue_reason=None,
        queue_deadline_at=None,
        placements=session.placements + 1,
        provider=place.provider,
        credential=place.credential.ref if place.credential else None,
    )


def waiting_at(session: Session, now: datetime) -> Session:
    """Return the session as it enters STARTING without a place. It is placed when its own end frees one
    (`finish_if_closed`)."""
    return replace(
        given_back(without_doubts(session)),
        state=State.STARTING,
        starting_at=now,
        declared_end_at=None,
        ping_at=None,
    )


def note_lost(tx: Transaction, session: Session, now: datetime) -> None:
    """Note on the session's placements that it was found dead and leaves: the brake there counts them."""
    for placement in tx.placements.unended(session.id):
        tx.placements.save(placement, replace(placement, lost_at=now))


def begin_close(work: AccountWork, placement: Placement, session: Session) -> Placement:
    """Begin to close a placement. If it is being opened, wait for the outcome of the open: a close never overtakes
    it."""
    match placement.state:
        case PlacementState.OPENING if placement.sent_at is None:
            why = f": {placement.last_answer}" if placement.last_answer else ""
            return end_never_opened(work.tx, placement, f"nothing was sent{why}", work.now)
        case PlacementState.OPENING | PlacementState.UNKNOWN:
            return work.tx.placements.save(placement, replace(placement, closing_since=work.now))
        case PlacementState.OPEN:
            return _close_open_placement(work, placement, session)
        case PlacementState.CLOSING | PlacementState.CLOSED | PlacementState.NEVER_OPENED:
            return placement
        case unknown:
            assert_never(unknown)


def end_never_opened(tx: Transaction, placement: Placement, proof: str, now: datetime) -> Placement:
    """End a placement that certainly does not exist: it was refused, not sent, or not found anywhere."""
    return _end(tx, placement, PlacementState.NEVER_OPENED, proof, now)


def end_found_closed(
    tx: Transaction, placement: Placement, handle: str, proof: str, now: datetime
) -> Placement:
    """End a placement as closed: the resource that its lost open had made was found, and closed."""
    known = found_closed(placement, handle)
    return _end(tx, known, PlacementState.CLOSED, proof, now, before=placement)


def end_closed(tx: Transaction, placement: Placement, proof: str, now: datetime) -> Placement:
    """End a placement with the proof of its close."""
    return _end(tx, placement, PlacementState.CLOSED, proof, now)


def close_quietly(tx: Transaction, placement: Placement, proof: str, now: datetime) -> Placement:
    """Do the same, but wake no session that waits for its place: `wake_for_places` does so for many."""
    return _save_end(tx, placement, PlacementState.CLOSED, proof, now)


def wake_for_places(tx: Transaction, places: Sequence[Placement]) -> None:
    """Wake a session for each of these places, where any waits for the provider."""
    at = {one.provider: one.ended_at for one in places if one.ended_at is not None}
    awaited = tx.queues.providers_awaited(sorted(at), max(at.values())) if at else set()
    for placement in places:
        if placement.provider in awaited:
            _wake_for(tx, placement, at[placement.provider])


def wake_next_waiter(work: AccountWork, session: Session) -> None:
    """Wake the next session that waits for a free key. The one woken before does not need it, or needs another."""
    model = work.tx.models.get(session.model_id)
    for provider in model.providers if model is not None else ():
        work.tx.queues.wake_waiting_for_provider(
            provider,
            work.now,
            credential=session.pinned_credential,
            attached=session.attach is not None,
        )


def _close_open_placement(work: AccountWork, placement: Placement, session: Session) -> Placement:
    pinged_since = session.lease.since if session.lease is not None else None
    work.tx.placements.wake(Step.CLOSE)
    after = closing(placement, pinged_since, PING_BEGINS_WITHIN, work.now)
    return work.tx.placements.save(placement, after)


def _end(
    tx: Transaction,
    placement: Placement,
    state: PlacementState,
    proof: str,
    now: datetime,
    *,
    before: Placement | None = None,
) -> Placement:
    saved = _save_end(tx, placement, state, proof, now, before=before)
    _wake_for(tx, placement, now)
    return saved


def _save_end(
    tx: Transaction,
    placement: Placement,
    state: PlacementState,
    proof: str,
    now: datetime,
    *,
    before: Placement | None = None,
) -> Placement:
    return tx.placements.save(before or placement, ended(placement, state, proof, now))


def _wake_for(tx: Transaction, placement: Placement, now: datetime) -> None:
    """Wake one session that waits for the place of this placement."""
    tx.queues.wake_waiting_for_provider(
        placement.provider,
        now,
        credential=placement.credential,
        attached=placement.attach is not None,
        nodes=placement.nodes,
    )


def stop(
    work: AccountWork, session: Session, reason: StopReason, at: datetime, detail: str | None
) -> Session:
    """Decide the end of a session, with effect at `at`, or earlier when its idle time ran out. Its placements are
    closed by others. `session`: locked and up to date."""
    idle = idle_by(session, work.policy(session), at)
    if idle is not None:
        return end(work, session, idle.reason, idle.at, idle.detail)
    return end(work, session, reason, at, detail)


def end(work: AccountWork, before: Session, reason: StopReason, at: datetime, detail: str | None) -> Session:
    """Stop a session for exactly this reason, with effect at `at`. `before`: locked."""
    placements = [begin_close(work, placement, before) for placement in work.lock_placements(before.id)]
    work.placements[before.id] = placements
    after = stopped(work.stop_running(before, at), placements, reason, at, detail, work.now)
    saved = work.keep(before, at_rest(after))
    if before.queue_reason == ErrorCode.NO_CAPACITY:
        wake_next_waiter(work, before)
    if reason is StopReason.BALANCE_EXHAUSTED:
        work.tx.outbox.add([events.exhausted(work.account, saved)])
    return saved


def start_running(work: AccountWork, before: Session, noted: Session) -> Session:
    """Start the clock of duration and money at the first good ping, if the balance, and each budget with a hard stop,
    pays the first block."""
    running = replace(
        noted,
        state=State.RUNNING,
        running_at=noted.running_at or work.now,
        running_since=work.now,
        stop_detail=None,  # why its last placement ended, if it moved
        lease=None,
        attempts=0,
    )
    for limit in work.limits(work.account):
        if not work.burning.can_begin(limit.left, running, work.now):
            detail = f"{payer_of(limit.by)} cannot pay its first block"
            return stop(work, before, end_reason(limit.by), work.now, detail)
    return work.keep(before, work.planned(running))
