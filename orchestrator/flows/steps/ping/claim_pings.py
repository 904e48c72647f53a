"""Claim pings and send them; `ping_due` settles the answers."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.flows.engine.services import PING_BEGINS_WITHIN, Services, ping_lease
from orchestrator.flows.engine.unreadable_rows import claim_the_readable
from orchestrator.flows.steps.claims import providers_with_due_work
from orchestrator.flows.steps.targets import target_of
from orchestrator.flows.upstream import alarms
from orchestrator.providers.port.driver import Driver, Life, Probe, Status, Target
from orchestrator.rules.audit.wait_limits import held_at_most, spread
from orchestrator.rules.sessions.busy import may_hang
from orchestrator.rules.sessions.pings import Ping, may_be_the_last
from orchestrator.rules.states import State, Step
from orchestrator.rules.upstream.alarms import AlarmKind, alarm
from orchestrator.rules.values import Placement, Session, Verdict
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: A native ping is retried after this when its key is in use.
BUSY = timedelta(seconds=1)
#: Pings without their secret on this worker are left to others for this long.
LEFT_TO_OTHERS = timedelta(seconds=5)
#: A ping without room beside others that may hang is retried after this.
NO_ROOM = timedelta(seconds=1)
#: The platform's own words for an end.
_ENDED = frozenset({Life.STOPPED, Life.GONE, Life.FAILED})
#: Its words for a live session, which contradict a ping's GONE.
_LIVES = frozenset({Life.STARTING, Life.RUNNING, Life.ASLEEP, Life.DEGRADED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinged:
    """A claimed session and what its ping said."""

    session: Session
    placement: Placement
    probe: Probe
    token: str
    ended: str | None = None
    """What the platform's own status said, where it said that it has ended."""
    expired: bool = False
    """It said so too, and that it was by its own schedule."""
    lives: str | None = None
    """What it said, where it said that it lives."""
    canary_answers: bool | None = None
    """What the operator's canary said after a ping that failed; None: it was not asked."""
    asleep: bool = False
    """Scaled to zero: it was not pinged, so as not to wake it."""


def claim_everywhere(services: Services) -> list[tuple[Session, Placement, str, float]]:
    """Lease every due ping that this process has a free slot for: session, placement, token, begin-by."""
    claimed: list[tuple[Session, Placement, str, float]] = []
    try:
        for provider in providers_with_due_work(services, Step.PING):
            claimed += claim_pings(services, provider)
    except BaseException:  # the database failed half-way: what was claimed is never pinged
        for session, placement, _, _ in claimed:
            free_slot(services, session, placement)
        raise
    return claimed


def claim_pings(services: Services, provider: str) -> list[tuple[Session, Placement, str, float]]:
    """Do the same at one provider."""
    free = services.slots.take(Step.PING, provider)
    claimed: Sequence[tuple[Session, Placement]] = []
    token = services.database.identity.new_token()
    begin_by = services.loop.time() + PING_BEGINS_WITHIN
    try:
        if free:
            claimed = claim_the_readable(
                services,
                Step.PING,
                provider,
                lambda: services.database.transact(lambda tx: _claimed(services, tx, provider, free, token)),
            )
    finally:
        services.slots.release(Step.PING, provider, free - len(claimed))
    services.suspects.hold(provider, sum(may_hang(session) for session, _ in claimed))
    return [(session, placement, token, begin_by) for session, placement in claimed]


def _claimed(
    services: Services, tx: Transaction, provider: str, limit: int, token: str
) -> Sequence[tuple[Session, Placement]]:
    policy = services.policy(provider)
    now, lease = tx.now(), ping_lease(policy)
    if services.cooldowns.cover(Step.PING, provider, now):
        return []
    room = services.suspects.room(provider, services.config.providers[provider].max_in_flight)
    claimed = tx.pings.claim(
        provider,
        limit,
        now=now,
        token=token,
        lease_seconds=lease,
        begins_within_seconds=PING_BEGINS_WITHIN * 1.1,
        spread_seconds=spread(policy),
        held_seconds=held_at_most(policy),
        lacking=services.lacking(provider),
        suspects=room > 0,
    )
    claimed = _leave_what_has_no_room(tx, claimed, room, token, now)
    claimed = _leave_what_it_lacks_the_secret_for(services, tx, claimed, token, now)
    card = services.card(provider)
    if card is None or not card.native_ping_is_lifecycle:
        return claimed
    rest = policy.credential_rest_seconds
    held = [
        (session, placement)
        for session, placement in claimed
        if tx.claims.lease_credential(placement, now=now, token=token, lease_seconds=lease, rest_seconds=rest)
    ]
    busy = {session.id for session, _ in claimed} - {session.id for session, _ in held}
    if busy:  # a lifecycle call runs under that key: look again soon
        tx.pings.release(busy, token, now + BUSY)
    return held


def _leave_what_has_no_room(
    tx: Transaction, claimed: Sequence[tuple[Session, Placement]], room: int, token: str, now: datetime
) -> Sequence[tuple[Session, Placement]]:
    """Give back pings that may hang, to leave room for sessions that answered last time."""
    suspects = [session.id for session, _ in claimed if may_hang(session)]
    left = set(suspects[room:])
    if left:
        tx.pings.release(left, token, now + NO_ROOM)
    return [(session, placement) for session, placement in claimed if session.id not in left]


def _leave_what_it_lacks_the_secret_for(
    services: Services,
    tx: Transaction,
    claimed: Sequence[tuple[Session, Placement]],
    token: str,
    now: datetime,
) -> Sequence[tuple[Session, Placement]]:
    """Release pings without their secret here: another worker may have it. Raise an alarm, for perhaps none has."""
    lacking = {session.id: services.lacks(placement) for session, placement in claimed}
    left = [(session, placement) for session, placement in claimed if lacking[session.id] is not None]
    if left:
        tx.pings.release([session.id for session, _ in left], token, now + LEFT_TO_OTHERS)
    for session, placement in left:
        said = f"a worker lacks the secret {lacking[session.id]}, without which nothing there can be pinged"
        where = placement.provider, placement.credential, session.model_id
        alarms.raise_alarm(tx, alarm(AlarmKind.MISCONFIGURED, *where, said, now))
    return [one for one in claimed if lacking[one[0].id] is None]


def give_keys_back(services: Services, tx: Transaction, pinged: Sequence[Pinged]) -> None:
    """Release the leases that native pings hold on their keys."""
    for one in pinged:
        card = services.card(one.placement.provider)
        if card is not None and card.native_ping_is_lifecycle:
            rest = services.policy(one.placement.provider).credential_rest_seconds
            tx.credentials.release(
                one.placement.provider, one.placement.credential, one.token, tx.now(), rest
            )


async def send(
    services: Services, session: Session, placement: Placement, token: str, begin_by: float
) -> Pinged:
    """Send one ping; ask for the platform's own status where that may end the session, or make the ping unnecessary.
    Its slot is held until it is settled."""
    try:
        return await _sent_or_dropped(services, session, placement, token, begin_by)
    except BaseException:  # there will be nothing to settle
        free_slot(services, session, placement)
        raise


def free_slot(services: Services, session: Session, placement: Placement) -> None:
    """Release the slot of a ping that is over."""
    services.suspects.release(placement.provider, may_hang(session))
    services.slots.release(Step.PING, placement.provider)


async def _sent_or_dropped(
    services: Services, session: Session, placement: Placement, token: str, begin_by: float
) -> Pinged:
    card = services.drivers[placement.provider].card
    if services.slots.closed:
        return _not_begun(session, placement, token)
    if card.native_ping_is_lifecycle:  # it may close a session: let it end, before another may use its key
        return await _sent(services, session, placement, token, begin_by)
    try:
        with services.loop.may_be_dropped():
            return await _sent(services, session, placement, token, begin_by)
    except asyncio.CancelledError:  # this worker leaves, and waits no longer: another pings it again
        return _not_begun(session, placement, token)


def _not_begun(session: Session, placement: Placement, token: str) -> Pinged:
    probe = Probe(verdict=Verdict.TRANSIENT, latency_ms=0, detail="this worker leaves", not_begun=True)
    return Pinged(session=session, placement=placement, probe=probe, token=token)


async def _sent(
    services: Services, session: Session, placement: Placement, token: str, begin_by: float
) -> Pinged:
    driver = services.drivers[placement.provider]
    asked = target_of(services, placement, begin_by, to_ping=False, now=session.leased_at)
    if driver.card.sleeps and session.state is State.RUNNING:  # a starting session waits to be woken
        life = (await driver.status(asked)).life
        if life is Life.ASLEEP or (life is Life.UNKNOWN and placement.asleep_since is not None):
            spared = Probe(verdict=Verdict.ALIVE, latency_ms=0, detail="asleep")
            return Pinged(session=session, placement=placement, probe=spared, token=token, asleep=True)
        begin_by = await _still_to_begin(services, session, token, begin_by)
    target = target_of(services, placement, begin_by, to_ping=True, now=session.leased_at)
    probe = await _probed(driver, target)
    status = await _platforms_word(services, driver, session, asked, probe)
    life, said = status.life, status.detail or status.life.value
    canary_answers = await _canary(services, session, probe)
    return Pinged(
        session=session,
        placement=placement,
        probe=probe,
        token=token,
        ended=said if life in _ENDED else None,
        expired=status.expired,
        lives=said if life in _LIVES else None,
        canary_answers=canary_answers,
    )


async def _canary(services: Services, session: Session, probe: Probe) -> bool | None:
    """Ask the canary where a running session's ping failed."""
    failed = session.state is State.RUNNING and probe.verdict is Verdict.TRANSIENT and not probe.not_begun
    return await services.canary.answers() if failed and services.canary is not None else None


async def _still_to_begin(services: Services, session: Session, token: str, begin_by: float) -> float:
    """Renew the claim where a slow status has used up the time in which the ping may begin, unless a stop came.

    A close waits for the newest claim as it does for the first one, so that still no ping begins after it."""
    if services.loop.time() <= begin_by:
        return begin_by
    renewed = services.loop.time() + PING_BEGINS_WITHIN

    def renew(tx: Transaction) -> bool:
        return tx.pings.renew(session.id, token, tx.now())

    held = await services.loop.beside(services.database.transact, renew)
    return renewed if held else begin_by


async def _probed(driver: Driver, target: Target) -> Probe:
    """Return the driver's probe. A driver should never raise; where it does, the ping has failed."""
    try:
        return await driver.probe(target)
    except Exception as error:  # one answer must not lose the results of all others
        log.exception("the probe at %s failed", driver.name)
        detail = f"the answer cannot be understood: {type(error).__name__}"
        return Probe(verdict=Verdict.TRANSIENT, latency_ms=0, detail=detail)


async def _platforms_word(
    services: Services, driver: Driver, session: Session, asked: Target, probe: Probe
) -> Status:
    """Return the platform's own status, where it has one, for a ping that may be the last."""
    if not driver.card.tells_status or probe.not_begun or not _may_end(services, session, probe):
        return Status(life=Life.UNKNOWN)
    return await driver.status(asked)


def _may_end(services: Services, session: Session, probe: Probe) -> bool:
    """Return whether the ping may end the session, judged at the latest time of its settlement."""
    assert session.leased_at is not None
    policy = services.policy(session.provider)
    settled_by = session.leased_at + timedelta(seconds=policy.ping_timeout_seconds)
    return may_be_the_last(session, as_ping(probe), policy, settled_by)


def as_ping(probe: Probe, lives: str | None = None) -> Ping:
    """Return the ping as the rules see it."""
    waits = probe.retry_after_seconds
    return Ping(probe.verdict, probe.latency_ms, probe.detail, waits, lives, probe.silence, probe.expired)
