"""Claim due sessions, no more than can be pinged at once, and ping them; ask for the platform's own status where it
may change the result."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from orchestrator.flows.engine.provider_steps import Claimed, claim_the_readable
from orchestrator.flows.engine.services import PING_BEGINS_WITHIN, Services, ping_lease
from orchestrator.flows.steps.targets import target_of
from orchestrator.flows.upstream import alarms
from orchestrator.providers.port.driver import Driver, Life, Probe, Status, Target
from orchestrator.rules.sessions.decide import held_at_most
from orchestrator.rules.sessions.pings import Ping, may_be_the_last, may_hang, reaches, spread
from orchestrator.rules.states import State, Step
from orchestrator.rules.upstream.alarms import AlarmKind, alarm
from orchestrator.rules.values import Placement, Session, Verdict
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: A native ping is retried after this when its key is in use.
BUSY = timedelta(seconds=1)
#: A ping with a secret that this worker lacks is left to other workers for this long.
LEFT_TO_OTHERS = timedelta(seconds=5)
#: A ping that may hang, and finds no slot for such pings, is retried after this.
NO_ROOM = timedelta(seconds=1)


#: A session under our lease, with its placement.
ClaimedPing = Claimed[Session]


def claim_pings(services: Services, provider: str, free: int) -> list[ClaimedPing]:
    """Lease due pings at one provider, at most as many as there are free slots."""
    token, began = services.database.identity.new_token(), services.loop.time()

    def claim(tx: Transaction) -> list[ClaimedPing]:
        now = tx.now()
        return [
            Claimed(
                placement=placement,
                context=session,
                step=Step.PING,
                token=token,
                at=session.lease.since if session.lease and session.lease.since else now,
                begin_by=began + PING_BEGINS_WITHIN,
                send_by=began + ping_lease(services.policy(provider)),
            )
            for session, placement in _claim(services, tx, provider, free, token, now)
        ]

    return list(claim_the_readable(services, Step.PING, provider, lambda: services.database.transact(claim)))


def _claim(
    services: Services, tx: Transaction, provider: str, limit: int, token: str, now: datetime
) -> Sequence[tuple[Session, Placement]]:
    policy = services.policy(provider)
    lease = ping_lease(policy)
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
        lacking=services.lacking(provider, now),
        suspects=room > 0,
    )
    claimed = _leave_what_has_no_room(tx, claimed, room, token, now)
    claimed = _leave_what_it_lacks_the_secret_for(services, tx, claimed, token, now)
    card = services.card(provider)
    if card is None or not card.lifecycle.ping_can_close:
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
    """Release pings with a secret that this worker lacks: another worker may have it. Raise an alarm, since perhaps
    none has."""
    lacking = {session.id: services.lacks(placement) for session, placement in claimed}
    left = [(session, placement) for session, placement in claimed if lacking[session.id] is not None]
    if left:
        tx.pings.release([session.id for session, _ in left], token, now + LEFT_TO_OTHERS)
    for session, placement in left:
        said = f"a worker lacks the secret {lacking[session.id]}, which every ping of this session needs"
        where = placement.provider, placement.credential, session.model_id
        alarms.raise_alarm(tx, alarm(AlarmKind.MISCONFIGURED, *where, said, now))
    return [one for one in claimed if lacking[one[0].id] is None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinged:
    """A claimed session and the result of its ping."""

    claimed: ClaimedPing
    probe: Probe
    ping: Ping
    """The same as rules see it, with what the platform's own status said."""
    canary_answers: bool | None = None
    """What the operator's canary said after a ping that failed; None: it was not asked."""

    @property
    def session(self) -> Session:
        """The session, as it was claimed."""
        return self.claimed.context

    @property
    def placement(self) -> Placement:
        """The placement, as it was when its session was claimed."""
        return self.claimed.placement

    @property
    def token(self) -> str:
        """The token of the session's lease."""
        return self.claimed.token


def give_keys_back(services: Services, tx: Transaction, pinged: Sequence[Pinged]) -> None:
    """Release the leases that native pings hold on their keys."""
    for one in pinged:
        card = services.card(one.placement.provider)
        if card is not None and card.lifecycle.ping_can_close:
            rest = services.policy(one.placement.provider).credential_rest_seconds
            tx.credentials.release(
                one.placement.provider, one.placement.credential, one.token, tx.now(), rest
            )


def not_begun(claimed: ClaimedPing, why: str) -> Pinged:
    """Return the result of a ping that was not sent."""
    probe = Probe(verdict=Verdict.TRANSIENT, latency_ms=0, detail=why, not_begun=True)
    return Pinged(claimed=claimed, probe=probe, ping=as_ping(probe))


async def send(services: Services, driver: Driver, claimed: ClaimedPing) -> Pinged:
    """Send one ping. Ask for the platform's own status if that may end the session or make the ping unnecessary."""
    session, placement, begin_by = claimed.context, claimed.placement, claimed.begin_by
    asked = target_of(services, placement, begin_by, to_ping=False, now=claimed.at)
    if (
        driver.card.status.sleeps and session.state is State.RUNNING
    ):  # the ping of a starting session wakes it
        life = (await driver.status(asked)).life
        if life is Life.ASLEEP or (life is Life.UNKNOWN and placement.asleep_since is not None):
            spared = Probe(verdict=Verdict.ALIVE, latency_ms=0, detail="asleep")
            return Pinged(claimed=claimed, probe=spared, ping=replace(as_ping(spared), asleep=True))
        begin_by = await _still_to_begin(services, claimed)
    target = target_of(services, placement, begin_by, to_ping=True, now=claimed.at)
    probe = await _probed(driver, target)
    status = await _reported_status(services, driver, claimed, asked, probe)
    ping = _with_status(as_ping(probe), status)
    canary_answers = await _canary(services, session, probe)
    return Pinged(claimed=claimed, probe=probe, ping=ping, canary_answers=canary_answers)


def _with_status(ping: Ping, status: Status) -> Ping:
    if status.life is Life.UNKNOWN:
        return ping
    said = status.detail or status.life.value
    return (
        replace(ping, ended=said, by_schedule=status.expired)
        if status.life.is_over
        else replace(ping, lives=said)
    )


async def _canary(services: Services, session: Session, probe: Probe) -> bool | None:
    """Ask the canary if a running session's ping failed."""
    failed = not probe.not_begun and reaches(session, as_ping(probe)) is False
    return await services.canary.answers() if failed and services.canary is not None else None


async def _still_to_begin(services: Services, claimed: ClaimedPing) -> float:
    """Renew the claim if a slow status has used up the time in which the ping may begin, unless a stop came.

    A close waits for the renewed claim as it does for the first, so no ping begins after a close."""
    if services.loop.time() <= claimed.begin_by:
        return claimed.begin_by
    renewed = services.loop.time() + PING_BEGINS_WITHIN

    def renew(tx: Transaction) -> bool:
        return tx.pings.renew(claimed.context.id, claimed.token, tx.now())

    held = await services.loop.beside(services.database.transact, renew)
    return renewed if held else claimed.begin_by


async def _probed(driver: Driver, target: Target) -> Probe:
    """Return the driver's probe. A driver should never raise; where it does, the ping has failed."""
    try:
        return await driver.probe(target)
    except Exception as error:  # one answer must not lose the results of all others
        log.exception("the probe at %s failed", driver.name)
        detail = f"the answer cannot be understood: {type(error).__name__}"
        return Probe(verdict=Verdict.TRANSIENT, latency_ms=0, detail=detail)


async def _reported_status(
    services: Services, driver: Driver, claimed: ClaimedPing, asked: Target, probe: Probe
) -> Status:
    """Return the platform's own status, if it has one and the ping may be the last."""
    if not driver.card.status.can_ask or probe.not_begun or not _may_end(services, claimed, probe):
        return Status(life=Life.UNKNOWN)
    return await driver.status(asked)


def _may_end(services: Services, claimed: ClaimedPing, probe: Probe) -> bool:
    """Return whether the ping may end the session. Judge that at the latest time at which the ping can be settled."""
    session = claimed.context
    policy = services.policy(session.provider)
    settled_by = claimed.at + timedelta(seconds=policy.ping_timeout_seconds)
    return may_be_the_last(session, as_ping(probe), policy, settled_by)


def as_ping(probe: Probe) -> Ping:
    """Return the ping as rules see it."""
    return Ping(
        probe.verdict,
        probe.latency_ms,
        probe.detail,
        retry_after_seconds=probe.retry_after_seconds,
        silence=probe.silence,
        expired=probe.expired,
        variant=probe.variant,
        foreign_handle=probe.foreign_handle,
        key_refused=probe.key_refused,
    )
