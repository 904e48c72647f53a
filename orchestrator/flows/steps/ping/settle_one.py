"""Settle one ping on its own, under the locks of its account, its session and its placement: note what it shows beyond
its session, and carry out what `rules/sessions/decide.py` decides. A dead session ends, moves, or stays at a brake."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import failover, transitions
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import on_session, run_after_stops
from orchestrator.flows.steps.ping.send_pings import Pinged
from orchestrator.flows.upstream import alarms, brake, credentials
from orchestrator.rules.events import ownership_lost
from orchestrator.rules.sessions.decide import (
    BecomeRunning,
    GiveUp,
    NoChange,
    PingAgain,
    Stop,
    after_answer,
    clamped_retry_after,
    given_back,
    note_ping,
)
from orchestrator.rules.sessions.stops import idle_by, reason_without_place
from orchestrator.rules.upstream.alarms import alarm, kind_of
from orchestrator.rules.upstream.brake import (
    Sign,
    is_confirmed,
    is_lost,
    sign_of,
    slowed,
    slowed_where_held,
    takes_effect_at,
)
from orchestrator.rules.values import Session, Verdict
from orchestrator.rules.values.doubts import is_in_doubt
from orchestrator.store.transaction import Transaction


def settle_one(services: Services, pinged: Pinged) -> Sign | None:
    """Lock account, session and placement, apply due stops, then decide on the rows as they are now."""

    def settle_one(tx: Transaction) -> Sign | None:
        found = on_session(services, tx, pinged.session.id, pinged.session.account_id)
        if found is None:
            return None
        work, session = found
        sign = None
        if (
            session.lease is not None and session.lease.token == pinged.token
        ):  # otherwise a stop or another ping took the session over
            remember_variant(tx, pinged)
            _remember_sleep(tx, pinged, work.now)
            _note_answer(work, session, pinged)
            sign = _carry_out(work, session, pinged)
        work.finish()
        return sign

    return run_after_stops(services, settle_one)


def _carry_out(work: AccountWork, session: Session, pinged: Pinged) -> Sign | None:
    policy = work.policy(session)
    noted = note_ping(session, pinged.ping, policy, work.now)
    match after_answer(noted, pinged.ping, policy, work.now, work.services.jitter()):
        case PingAgain(at=at):
            return _go_on(work, session, _free(noted, ping_at=at))
        case BecomeRunning(ping_at=at):
            transitions.start_running(work, session, replace(noted, ping_at=at))
        case Stop() as ending:
            saved = work.keep(session, _free(noted, ping_at=noted.ping_at))
            own_key = pinged.placement.exclusive or _pings_natively(work.services, pinged)
            confirmed = is_confirmed(saved, platform_says=pinged.ping.ended is not None, own_key=own_key)
            if not end_dead(work, saved, ending, confirmed=confirmed):
                return Sign.FROZEN
        case GiveUp(detail=detail):
            give_up(work, session, noted, detail)
        case NoChange():
            work.keep(session, _free(session, ping_at=session.ping_at))
        case unknown:
            assert_never(unknown)
    return None


def _note_answer(work: AccountWork, session: Session, pinged: Pinged) -> None:
    """Note what the answer shows about the key, the account or the configuration, beyond this session."""
    placement, probe = pinged.placement, pinged.probe
    policy = work.policy(session)
    if probe.verdict is Verdict.CREDENTIALS and placement.secret_ref == placement.credential:
        credentials.pause_refused(
            work.tx, placement, probe.detail, policy, work.now, since=session.unusable_since
        )
    elif probe.key_refused is not None:
        credentials.pause_refused(work.tx, placement, probe.key_refused, policy, work.now)
    if probe.foreign_handle is not None and session.gone_since is None:  # once, not at each ping
        work.tx.outbox.add([ownership_lost(placement, probe.foreign_handle)])
    kind = kind_of(probe.verdict)
    if kind is not None:
        where = placement.provider, placement.credential, session.model_id
        alarms.raise_alarm(work.tx, alarm(kind, *where, probe.detail, work.now))
    if probe.verdict is Verdict.THROTTLED:
        wait = clamped_retry_after(probe.retry_after_seconds, policy)
        credentials.note_rate_limit(work.tx, placement, wait, work.now, whole_key=probe.whole_key)


def _pings_natively(services: Services, pinged: Pinged) -> bool:
    card = services.card(pinged.placement.provider)
    return card is not None and card.lifecycle.ping_can_close


def _go_on(work: AccountWork, before: Session, noted: Session) -> Sign | None:
    """Keep the session running; return what its ping shows about its provider."""
    in_doubt = is_in_doubt(noted)
    brakes = work.tx.brakes.at(noted.provider, noted.credential) if noted.provider and in_doubt else ()
    after = slowed_where_held(noted, brakes, work.policy(noted), work.now)
    return sign_of(before, work.keep(before, work.planned(after)))


def give_up(work: AccountWork, session: Session, noted: Session, detail: str) -> None:
    """Give up this attempt to start: try the next place, or end the session."""
    saved = work.keep(session, _free(noted, ping_at=None))
    if failover.next_attempt(work, saved, saved) is None:
        transitions.stop(work, saved, reason_without_place(session), work.now, detail)


def _free(session: Session, *, ping_at: datetime | None) -> Session:
    """Return the session with its lease given back."""
    return replace(given_back(session), ping_at=ping_at)


def remember_variant(tx: Transaction, pinged: Pinged) -> None:
    """Save the ping variant that works here, so that the next ping begins with it, in any process."""
    if pinged.probe.variant in (None, pinged.placement.ping_variant):
        return
    placement = tx.placements.lock(pinged.placement.id)
    if placement is not None:
        tx.placements.save(placement, replace(placement, ping_variant=pinged.probe.variant))


def _remember_sleep(tx: Transaction, pinged: Pinged, now: datetime) -> None:
    """Save whether the session sleeps. While the platform cannot be asked, a session that slept is not pinged."""
    if pinged.ping.asleep is (pinged.placement.asleep_since is not None):
        return
    placement = tx.placements.lock(pinged.placement.id)
    if placement is not None:
        tx.placements.save(placement, replace(placement, asleep_since=now if pinged.ping.asleep else None))


def end_dead(work: AccountWork, session: Session, ending: Stop, *, confirmed: bool) -> bool:
    """Stop a session that was found dead, or move it. Return False if a brake holds it instead.

    `confirmed`: the platform itself says so. No brake holds such a session, and it does not count against the
    provider."""
    lost = is_lost(ending.reason, confirmed=confirmed)
    frozen = lost and brake.freezes(work, session)
    at = takes_effect_at(session, ending.reason, work.now)
    if frozen and not brake.may_leave(work, session):
        return _held(work, session)
    idle = idle_by(session, work.policy(session), at) is not None  # it ends as that, and need not move
    if not idle and failover.move_on(work, session, at, ending.detail, lost=lost, beside_brakes=frozen):
        return True
    if frozen:
        return _held(work, session)
    if lost:
        transitions.note_lost(work.tx, session, work.now)
    transitions.stop(work, session, ending.reason, at, ending.detail)
    return True


def _held(work: AccountWork, session: Session) -> bool:
    """Keep the session running, and ping it less often."""
    work.keep(session, work.planned(slowed(session, work.policy(session), work.now)))
    return False
