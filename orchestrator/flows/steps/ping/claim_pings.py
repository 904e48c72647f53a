"""Claim pings: lease due sessions, no more than can be pinged at once."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from orchestrator.flows.engine.provider_steps import Claimed, claim_the_readable
from orchestrator.flows.engine.services import PING_BEGINS_WITHIN, Services, ping_lease
from orchestrator.flows.upstream import alarms
from orchestrator.rules.audit.wait_limits import held_at_most, spread
from orchestrator.rules.sessions.pings import may_hang
from orchestrator.rules.states import Step
from orchestrator.rules.upstream.alarms import AlarmKind, alarm
from orchestrator.rules.values import Placement, Session
from orchestrator.store.transaction import Transaction

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

    def claimed(tx: Transaction) -> list[ClaimedPing]:
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
            for session, placement in _claimed(services, tx, provider, free, token, now)
        ]

    return list(
        claim_the_readable(services, Step.PING, provider, lambda: services.database.transact(claimed))
    )


def _claimed(
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
        said = f"a worker lacks the secret {lacking[session.id]}, without which nothing there can be pinged"
        where = placement.provider, placement.credential, session.model_id
        alarms.raise_alarm(tx, alarm(AlarmKind.MISCONFIGURED, *where, said, now))
    return [one for one in claimed if lacking[one[0].id] is None]
