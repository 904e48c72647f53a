"""Begin the next placement of a session, and end one that is no longer wanted."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, assert_never

from orchestrator.flows.engine.services import PING_BEGINS_WITHIN, Services
from orchestrator.flows.lifecycle import places
from orchestrator.flows.lifecycle.places import Place
from orchestrator.rules.sessions.pings import given_back, without_doubts
from orchestrator.rules.sessions.stops import ask_duration
from orchestrator.rules.states import SERVING, UNENDED, PlacementState, State, Step, StopReason, end_state
from orchestrator.rules.values import Model, Placement, Session
from orchestrator.store.transaction import Transaction

if TYPE_CHECKING:
    from orchestrator.flows.lifecycle.account_work import AccountWork


def begin_placement(
    services: Services, tx: Transaction, session: Session, model: Model, place: Place, now: datetime
) -> Placement:
    """Write the intent: a placement to be opened. `session.placements` is its n already."""
    card = services.card(place.provider)
    assert card is not None
    credential = place.credential
    shortest = ask_duration(session, services.policy(place.provider), card.shortest_duration_seconds, now)
    placement = Placement(
        id=tx.installation.new_placement_id(),
        session_id=session.id,
        account_id=session.account_id,
        n=session.placements,
        provider=place.provider,
        credential=credential.ref if credential else None,
        fingerprint=credential.fingerprint if credential else None,
        exclusive=card.exclusive_credentials and credential is not None,
        serialised=card.serialised and credential is not None,
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
        next_step=Step.OPEN,
        next_step_at=place.at,
    )
    if place.at <= now:
        tx.placements.wake(Step.OPEN)
    return tx.placements.insert(placement)


def starting_at(session: Session, place: Place, now: datetime) -> Session:
    """Return the session as it enters STARTING for its next placement there."""
    return replace(
        waiting_at(session, now),
        queue_reason=None,
        queue_deadline_at=None,
        placements=session.placements + 1,
        provider=place.provider,
        credential=place.credential.ref if place.credential else None,
    )


def waiting_at(session: Session, now: datetime) -> Session:
    """Return the session as it enters STARTING, to be placed where its own end makes room (`finish_if_closed`)."""
    return replace(
        given_back(without_doubts(session)),
        state=State.STARTING,
        starting_at=now,
        declared_end_at=None,
        ping_at=None,
    )


def next_attempt(work: "AccountWork", before: Session, noted: Session) -> Session | None:
    """Place a STARTING session at the next credential, then at the model's next provider, or at the key that its own
    proven end frees; return None where nothing is left to try."""
    policy = work.policy(before)
    model = work.tx.models.get(before.model_id)
    if model is None or places.attempts_left(work.tx, before, policy, work.now) < 1:
        return None
    for placement in work.tx.placements.unended(before.id):
        begin_close(work, placement, before)
    first_entry = noted.starting_at or work.now  # attempts share one start_timeout
    by = first_entry + timedelta(seconds=policy.start_timeout_seconds)
    place = places.take_place_by(work.services, work.tx, before, model, work.now, by)
    if place is None:
        if not places.frees_a_place(work.services, work.tx, before, model, work.now):
            return None
        waiting = replace(waiting_at(noted, work.now), starting_at=first_entry)
        return work.keep(before, work.planned(waiting))
    after = replace(starting_at(noted, place, work.now), starting_at=first_entry)
    saved = work.keep(before, work.planned(after))
    begin_placement(work.services, work.tx, saved, model, place, work.now)
    return saved


def has_another(work: "AccountWork", session: Session, placement: Placement) -> bool:
    """Return whether a session that starts here may start at another place, in time."""
    policy = work.policy(session)
    model = work.tx.models.get(session.model_id)
    if model is None or places.attempts_left(work.tx, session, policy, work.now) < 1:
        return False
    by = (session.starting_at or work.now) + timedelta(seconds=policy.start_timeout_seconds)
    here = frozenset({(placement.provider, placement.credential)})
    place = places.take_place_by(work.services, work.tx, session, model, work.now, by, others=here)
    return place is not None


def move_on(
    work: "AccountWork",
    session: Session,
    at: datetime,
    detail: str,
    *,
    lost: bool = False,
    beside_brakes: bool = False,
) -> bool:
    """Move a running session at `at`, only where the next place is free already, or is freed by the proven end of this
    one. Return False where it must stop.

    `lost`: found dead by pings. `beside_brakes`: only to places without a brake."""
    policy = work.policy(session)
    if not session.failover or places.attempts_left(work.tx, session, policy, work.now) < 1:
        return False
    model = work.tx.models.get(session.model_id)
    before = work.tx.sessions.lock(session.id)
    if model is None or before is None or before.state is not State.RUNNING:
        return False
    by = work.now + timedelta(seconds=policy.start_timeout_seconds)
    place = places.take_place_by(
        work.services, work.tx, before, model, work.now, by, beside_brakes=beside_brakes
    )
    if place is None and (
        beside_brakes or not places.frees_a_place(work.services, work.tx, before, model, work.now)
    ):
        return False
    if lost:
        note_lost(work.tx, before, work.now)
    for placement in work.tx.placements.unended(before.id):
        begin_close(work, placement, before)
    interrupted = replace(work.stop_running(before, at), stop_detail=detail)
    if place is None:
        work.keep(before, work.planned(waiting_at(interrupted, work.now)))
        return True
    after = starting_at(interrupted, place, work.now)
    saved = work.keep(before, work.planned(after))
    begin_placement(work.services, work.tx, saved, model, place, work.now)
    return True


def note_lost(tx: Transaction, session: Session, now: datetime) -> None:
    """Note on its placements that the session was found dead and leaves: a brake there counts it."""
    for placement in tx.placements.unended(session.id):
        tx.placements.save(placement, replace(placement, lost_at=now))


def begin_close(work: "AccountWork", placement: Placement, session: Session) -> Placement:
    """Begin the close of a placement. One that is being opened waits for that outcome: no close overtakes it."""
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
    """End a placement that certainly does not exist: refused, not sent, or not found anywhere."""
    return _end(tx, placement, PlacementState.NEVER_OPENED, proof, now)


def end_found_closed(
    tx: Transaction, placement: Placement, handle: str, proof: str, now: datetime
) -> Placement:
    """End a placement as closed: its lost open had made this resource, which was closed when it was found."""
    left = placement.orphans_at_most
    more = placement.possible_orphans and left != 1  # this one was one of them
    known = replace(
        placement, handle=handle, possible_orphans=more, orphans_at_most=left - 1 if left else left
    )
    return _end(tx, known, PlacementState.CLOSED, proof, now, before=placement)


def end_closed(tx: Transaction, placement: Placement, proof: str, now: datetime) -> Placement:
    """End a placement with the proof of its close."""
    return _end(tx, placement, PlacementState.CLOSED, proof, now)


def finish_if_closed(work: "AccountWork", session: Session) -> Session:
    """Finish a stopping session without unended placements; place a starting one that waited for that end."""
    if session.state is State.STARTING:
        return _placed_again(work, session)
    if session.state is not State.STOPPING or session.stop_reason is None:
        return session
    if any(placement.state in UNENDED for placement in work.tx.placements.unended(session.id)):
        return session
    state = end_state(session.stop_reason, ever_ran=session.ever_ran)
    return work.keep(session, replace(session, state=state, ended_at=work.now))


def _placed_again(work: "AccountWork", session: Session) -> Session:
    """Place it again: the placement that it waited for has ended, and freed a place, unless one came free sooner."""
    current = work.tx.sessions.lock(session.id)
    if current is None or any(one.state in SERVING for one in work.tx.placements.unended(current.id)):
        return session
    placed = next_attempt(work, current, current)
    if placed is not None:
        return placed
    reason = StopReason.DEAD if current.ever_ran else StopReason.START_FAILED
    return work.stop(current, reason, work.now, current.stop_detail or "no provider left to try")


def wake_next_waiter(work: "AccountWork", session: Session) -> None:
    """Wake the next waiter: the woken session did not use the freed credential."""
    model = work.tx.models.get(session.model_id)
    for provider in model.providers if model is not None else ():
        work.tx.queues.wake_waiting_for_provider(
            provider,
            work.now,
            credential=session.pinned_credential,
            attached=session.attach is not None,
        )


def _close_open_placement(work: "AccountWork", placement: Placement, session: Session) -> Placement:
    at = work.now
    if session.leased_at is not None:  # a ping was claimed and may be about to begin
        at = max(at, session.leased_at + timedelta(seconds=PING_BEGINS_WITHIN * 1.1))
    work.tx.placements.wake(Step.CLOSE)
    closing = replace(
        placement,
        state=PlacementState.CLOSING,
        closing_since=placement.closing_since or work.now,
        next_step=Step.CLOSE,
        next_step_at=at,
        attempts=0,
    )
    return work.tx.placements.save(placement, closing)


def _end(
    tx: Transaction,
    placement: Placement,
    state: PlacementState,
    proof: str,
    now: datetime,
    *,
    before: Placement | None = None,
) -> Placement:
    ended = replace(
        placement,
        state=state,
        proof=proof,
        ended_at=now,
        next_step=None,
        next_step_at=None,
        lease_token=None,
        lease_until=None,
        attempts=0,
    )
    saved = tx.placements.save(before or placement, ended)
    tx.queues.wake_waiting_for_provider(
        placement.provider,
        now,
        credential=placement.credential,
        attached=placement.attach is not None,
        nodes=placement.nodes,
    )
    return saved
