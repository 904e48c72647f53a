"""Ping due sessions, hundreds at once, and settle the answers in bulk as `rules/sessions/decide.py` decides."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from orchestrator.flows.engine import failures
from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.crowd import AccountBusy
from orchestrator.flows.engine.loop import CHUNK
from orchestrator.flows.engine.pipeline import run_once
from orchestrator.flows.engine.provider_steps import Answer, Claimed, ProviderStep
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import failover, stops
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import after_stops, on_session
from orchestrator.flows.steps.ping import deaths, network, note_pings, settle_failures
from orchestrator.flows.steps.ping.send_pings import (
    Pinged,
    as_ping,
    claim_pings,
    give_keys_back,
    not_begun,
    send,
)
from orchestrator.flows.upstream import brake, local_faults
from orchestrator.flows.upstream.brake import Sign
from orchestrator.providers.port.driver import Driver
from orchestrator.providers.port.errors import NotSent
from orchestrator.rules.admission.places import ProviderKey
from orchestrator.rules.sessions.decide import (
    BecomeRunning,
    Decision,
    GiveUp,
    NoChange,
    PingAgain,
    Stop,
    after_ping,
    after_plain_ping,
    after_platform_status,
    given_back,
    note_ping,
    without_doubts,
)
from orchestrator.rules.sessions.pings import may_hang
from orchestrator.rules.states import State, Step, StopReason
from orchestrator.rules.upstream.brake import doubted_since, is_confirmed, slowed_where_held
from orchestrator.rules.values import Session
from orchestrator.store.queries.pings import GoodPing
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)


class PingStep(ProviderStep[Session, Pinged]):
    """Ping a session. `send_pings` claims and asks, and this module settles."""

    step = Step.PING
    chunk = CHUNK
    paced = True

    def claim(self, services: Services, provider: str, free: int) -> Sequence[Claimed[Session]]:
        """Lease due pings at one provider."""
        return claim_pings(services, provider, free)

    async def ask(self, services: Services, driver: Driver, claimed: Claimed[Session]) -> Pinged:
        """Send one ping."""
        return await send(services, driver, claimed)

    def settle(self, services: Services, answers: Sequence[Answer[Session, Pinged]]) -> int:
        """Save the results of pings."""
        settle_pings(services, [pinged for pinged in map(_result, answers) if pinged is not None])
        return len(answers)

    def may_be_dropped(self, driver: Driver) -> bool:
        """Return whether it may be cancelled: a ping that is a lifecycle call may close a session, and is finished
        before its key is used again."""
        return not driver.card.lifecycle.ping_can_close

    def hold(self, services: Services, claimed: Claimed[Session]) -> None:
        """Count a ping that may hang."""
        services.suspects.hold(claimed.placement.provider, may_hang(claimed.context))

    def note_over(self, services: Services, claimed: Claimed[Session]) -> None:
        """Count it no more."""
        services.suspects.release(claimed.placement.provider, may_hang(claimed.context))


PING = PingStep()


def ping_due(services: Services) -> Tally:
    """Ping every due session that this process has a free slot for."""
    return run_once(services, PING)


def _result(answer: Answer[Session, Pinged]) -> Pinged | None:
    """Return the result of a ping; None after an error that no driver should raise: the ping is sent again when its
    lease ends."""
    if isinstance(answer.said, NotSent):
        return not_begun(answer.claimed, str(answer.said))
    if isinstance(answer.said, Pinged):
        return answer.said
    log.error("a ping of session %s has no result: %s", answer.claimed.context.id, answer.said)
    return None


def settle_pings(services: Services, chunk: Sequence[Pinged]) -> None:
    """Settle good pings that change nothing in bulk. Decide every other one on its own, under its locks."""
    begun = [pinged for pinged in chunk if not pinged.probe.not_begun]
    _give_back(services, [pinged for pinged in chunk if pinged.probe.not_begun])
    written: set[str] = set()
    given_back: set[str] = set()

    def settle_good(tx: Transaction) -> datetime:
        now = tx.now()
        give_keys_back(services, tx, chunk)
        good = (_good(services, pinged, now) for pinged in begun)
        written.clear()
        written.update(tx.pings.settle_good([ping for ping in good if ping is not None]))
        note_pings.end_alarms(services, tx, begun, now)
        given_back.clear()
        given_back.update(network.note_and_judge(services, tx, begun, now))
        return now

    now = services.database.transact(settle_good)
    _end_cooldowns(services, [pinged for pinged in begun if pinged.session.id not in given_back])
    note_pings.measure(begun)
    _settle_rest(services, [one for one in begun if one.session.id not in written | given_back], now)
    note_pings.meter(services, begun, now)


def _settle_rest(services: Services, chunk: Sequence[Pinged], now: datetime) -> None:
    """Settle the pings that were not good. Once all are settled, check the brakes of their providers."""
    failing = _settle_failing(services, chunk)
    said = [(key, Sign.ILL) for key in failing.values()]
    for pinged in chunk:
        sign = _settle_apart(services, pinged) if pinged.session.id not in failing else None
        if sign is not None:
            said.append(((pinged.placement.provider, pinged.placement.credential), sign))
    try:
        brake.after_pings(services, said, now)
    except Exception as error:  # noqa: BLE001  (it is logged; the next ping of any of them looks again)
        failures.log_failure(log, error, "the brakes are not checked")


def _settle_failing(services: Services, chunk: Sequence[Pinged]) -> Mapping[str, ProviderKey]:
    """Settle failed pings in bulk; return the key of each session that was settled. If that fails, return nothing:
    the caller settles each ping on its own."""
    try:
        return settle_failures.settle(services, chunk)
    except Exception as error:  # noqa: BLE001  (each logs its own failure)
        log.warning("failed pings are settled one by one: %s", type(error).__name__)
        return {}


def _end_cooldowns(services: Services, begun: Sequence[Pinged]) -> None:
    """End this process's cooldowns of providers that it has pinged: its own calls work."""
    for provider in {pinged.placement.provider for pinged in begun if not pinged.asleep}:
        services.cooldowns.end(Step.PING, provider)


def _give_back(services: Services, late: Sequence[Pinged]) -> None:
    """Give back pings that were never sent: they are due again at once. Save the ping variant that they found. If
    this machine was at fault, begin a cooldown here, so that other workers ping first."""
    if not late:
        return

    def give_back(tx: Transaction) -> None:
        now = tx.now()
        for token in sorted({pinged.token for pinged in late}):
            tx.pings.release([one.session.id for one in late if one.token == token], token, now)
        for pinged in late:
            _remember_variant(tx, pinged)
        note_pings.note_own_faults(services, tx, late)

    services.database.transact(give_back)
    local_faults.count([one.probe.failed_here for one in late if one.probe.failed_here is not None])
    if any(one.probe.failed_here is None for one in late):
        services.wake(frozenset({Step.PING}))


def _good(services: Services, pinged: Pinged, now: datetime) -> GoodPing | None:
    """Return the bulk settlement of this ping; None if more than the time of the last ping changes."""
    session, probe = pinged.session, pinged.probe
    if pinged.asleep or pinged.placement.asleep_since is not None:  # that it woke up must be saved
        return None
    if probe.key_refused is not None:  # the key is to be paused
        return None
    if probe.variant not in (None, pinged.placement.ping_variant):
        return None
    policy = services.policy(session.provider)
    following = after_plain_ping(session, as_ping(probe), policy, now, services.jitter())
    if following is None:
        return None
    return GoodPing(
        session_id=session.id,
        token=pinged.token,
        revision=session.revision,
        at=now,
        latency_ms=probe.latency_ms,
        ping_at=following.ping_at,
        due=following.due,
    )


def _settle_apart(services: Services, pinged: Pinged) -> Sign | None:
    """Settle one ping on its own. A failure is logged, and the ping is retried when its lease expires; the others are
    settled all the same."""
    try:
        return _settle_one(services, pinged)
    except AccountBusy:
        _ping_again_soon(services, pinged)
        return None
    except Exception as error:  # noqa: BLE001  (it is logged)
        failures.log_failure(log, error, f"a ping of session {pinged.session.id} is not settled")
        return None


def _ping_again_soon(services: Services, pinged: Pinged) -> None:
    """Release the ping, to be sent again soon: its account is locked, and this thread does not wait."""

    def release(tx: Transaction) -> None:
        again_at = tx.now() + timedelta(
            seconds=services.policy(pinged.session.provider).ping_timeout_seconds / 10
        )
        tx.pings.release([pinged.session.id], pinged.token, again_at)

    services.database.transact(release)


def _settle_one(services: Services, pinged: Pinged) -> Sign | None:
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
            _remember_variant(tx, pinged)
            _remember_sleep(tx, pinged, work.now)
            note_pings.note_answer(work, session, pinged)
            sign = _carry_out(work, session, pinged)
        work.finish()
        return sign

    return after_stops(services, settle_one)


def _carry_out(work: AccountWork, session: Session, pinged: Pinged) -> Sign | None:
    policy = work.policy(session)
    noted = (
        without_doubts(session)
        if pinged.asleep
        else note_ping(session, as_ping(pinged.probe, pinged.lives), policy, work.now)
    )
    match _decision(work, noted, pinged):
        case PingAgain(at=at):
            return _go_on(work, session, _free(noted, ping_at=at))
        case BecomeRunning():
            interval = after_ping(
                replace(noted, state=State.RUNNING), policy, work.now, work.services.jitter()
            )
            at = interval.at if isinstance(interval, PingAgain) else work.now
            stops.start_running(work, session, replace(noted, ping_at=at))
        case Stop() as ending:
            saved = work.keep(session, _free(noted, ping_at=noted.ping_at))
            own_key = pinged.placement.exclusive or _pings_natively(work.services, pinged)
            confirmed = is_confirmed(saved, platform_says=pinged.ended is not None, own_key=own_key)
            if not deaths.end(work, saved, ending, confirmed=confirmed):
                return Sign.FROZEN
        case GiveUp(detail=detail):
            give_up(work, session, noted, detail)
        case NoChange():
            work.keep(session, _free(session, ping_at=session.ping_at))
        case unknown:
            assert_never(unknown)
    return None


def _pings_natively(services: Services, pinged: Pinged) -> bool:
    card = services.card(pinged.placement.provider)
    return card is not None and card.lifecycle.ping_can_close


def _decision(work: AccountWork, noted: Session, pinged: Pinged) -> Decision:
    policy = work.policy(noted)
    if pinged.asleep:
        return PingAgain(work.now + timedelta(seconds=policy.ping_interval_seconds))
    if pinged.ended is not None:
        return after_platform_status(noted, work.now, pinged.ended, expired=pinged.expired)
    waits = pinged.probe.retry_after_seconds
    return after_ping(noted, policy, work.now, work.services.jitter(), retry_after_seconds=waits)


def _go_on(work: AccountWork, before: Session, noted: Session) -> Sign | None:
    """Keep the session running. Return a sign about its provider if it falls ill or recovers; a sleeping session gives
    none."""
    in_doubt = doubted_since(noted) is not None
    brakes = work.tx.brakes.at(noted.provider, noted.credential) if noted.provider and in_doubt else ()
    after = slowed_where_held(noted, brakes, work.policy(noted), work.now)
    saved = work.keep(before, work.planned(after))
    if saved.last_ping_at == before.last_ping_at or saved.state is not State.RUNNING:
        return None
    if doubted_since(saved) is not None:
        return Sign.ILL
    return Sign.RECOVERED if doubted_since(before) is not None else None


def give_up(work: AccountWork, session: Session, noted: Session, detail: str) -> None:
    """Give up this attempt to start: try the next place, or end the session."""
    saved = work.keep(session, _free(noted, ping_at=None))
    if failover.next_attempt(work, saved, saved) is None:
        reason = StopReason.DEAD if session.ever_ran else StopReason.START_FAILED
        stops.stop(work, saved, reason, work.now, detail)


def _free(session: Session, *, ping_at: datetime | None) -> Session:
    """Return the session with its lease given back."""
    return replace(given_back(session), ping_at=ping_at)


def _remember_variant(tx: Transaction, pinged: Pinged) -> None:
    """Save the ping variant that works here, so that the next ping begins with it, in any process."""
    if pinged.probe.variant in (None, pinged.placement.ping_variant):
        return
    placement = tx.placements.lock(pinged.placement.id)
    if placement is not None:
        tx.placements.save(placement, replace(placement, ping_variant=pinged.probe.variant))


def _remember_sleep(tx: Transaction, pinged: Pinged, now: datetime) -> None:
    """Save whether the session sleeps. While the platform cannot be asked, a session that slept is not pinged."""
    if pinged.asleep is (pinged.placement.asleep_since is not None):
        return
    placement = tx.placements.lock(pinged.placement.id)
    if placement is not None:
        tx.placements.save(placement, replace(placement, asleep_since=now if pinged.asleep else None))
