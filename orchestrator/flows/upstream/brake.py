"""The brake: while a provider, or one key of it, is at fault, sessions there are not ended as dead.

It is read while a ping is settled. It begins and ends in transactions of its own, which lock no account. It never
delays stops by rule, deaths that the platform confirms, and failover to a place without a brake."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.rules.admission.places import ProviderKey
from orchestrator.rules.events import Event, rfc3339
from orchestrator.rules.upstream import brake as rule
from orchestrator.rules.upstream.brake import Sign
from orchestrator.rules.values import Brake, Session
from orchestrator.store.queries.brakes import scope_of
from orchestrator.store.transaction import Transaction

#: While sessions fall ill, one process checks this often whether a brake must begin.
LOOK_EVERY = timedelta(seconds=1)


def freezes(work: AccountWork, session: Session) -> bool:
    """Return whether a brake, in force or about to begin, keeps this session from being ended as dead."""
    if session.provider is None or rule.is_held_too_long(session, work.policy(session), work.now):
        return False
    there = work.tx.brakes.at(session.provider, session.credential)
    if rule.held_by(there, session, work.now) is not None:
        return True
    if rule.is_judged(there, session, work.now):
        return False
    scopes = _scopes((session.provider, session.credential))
    return any(_why(work.services, work.tx, *scope, work.now) is not None for scope in scopes)


def may_leave(work: AccountWork, session: Session) -> bool:
    """Return whether this session, held by a brake, may move to a place without one: a few at first, then more."""
    assert session.provider is not None
    holding = rule.held_by(work.tx.brakes.at(session.provider, session.credential), session, work.now)
    return holding is not None and rule.may_move(*work.tx.brakes.moved(holding))


def note_pings(services: Services, said: Collection[tuple[ProviderKey, Sign]], now: datetime) -> None:
    """End brakes where sessions in doubt have answered, and begin brakes where sessions fell ill."""
    recovered, ill, frozen = (
        Counter(scope for key, sign in said if sign is which for scope in _scopes(key))
        for which in (Sign.RECOVERED, Sign.ILL, Sign.FROZEN)
    )
    for scope in sorted(recovered, key=_by_name):
        _note_recovered(services, *scope, recovered[scope])
    for scope in sorted(ill | frozen, key=_by_name):
        if services.cooldowns.take_turn(("brake", scope), now, LOOK_EVERY) or scope in frozen:
            _engage_where_at_fault(services, *scope)


def review(services: Services) -> int:
    """End the brakes that have no more cause or time, and delete those with all sessions judged, each in a transaction
    of its own; return how many."""
    with services.database.reading() as tx:
        found = tx.brakes.all()

    def look(brake: Brake) -> bool:
        return services.database.transact(lambda tx: _review(services, tx, brake, tx.now()))

    return sum(look(brake) for brake in found)


def release_brakes(services: Services, provider: str) -> int:
    """Lift every brake of this provider for an operator; return how many there were."""

    def lift(tx: Transaction) -> int:
        now = tx.now()
        found = [brake for brake in tx.brakes.all() if brake.provider == provider]
        for brake in found:
            if rule.is_holding(brake, now):
                _lift(tx, brake, "an operator released it", now)
            else:
                tx.brakes.forget(brake)
        return sum(rule.is_holding(brake, now) for brake in found)

    return services.database.transact(lift)


def _engage_where_at_fault(services: Services, provider: str, credential: str | None) -> None:
    def engage(tx: Transaction) -> None:
        now = tx.now()
        if any(rule.is_holding(one, now) for one in tx.brakes.at(provider, credential)):
            return
        why = _why(services, tx, provider, credential, now)
        if why is None:
            return
        longest = timedelta(seconds=services.policy(provider).brake_max_seconds)
        brake = Brake(
            scope=scope_of(provider, credential),
            provider=provider,
            credential=credential,
            since=now,
            until=now + longest,
            reason=why,
        )
        if tx.brakes.engage(brake):
            tx.outbox.add([_event("braked", brake, now)])

    services.database.transact(engage)


def _why(
    services: Services, tx: Transaction, provider: str, credential: str | None, now: datetime
) -> str | None:
    """Return why the provider, or its key, is at fault. Return None if it is not, or if a brake there has expired and
    no session has answered since."""
    policy, card = services.policy(provider), services.card(provider)
    judged = rule.judged_since(tx.brakes.at(provider, credential), now)
    if judged is not None and not tx.brakes.has_answered(provider, credential, judged):
        return None
    health = tx.brakes.health(
        provider,
        credential,
        since=now - rule.window(policy),
        judged=judged,
        gone_counts=card is None or not card.identity.exclusive_credentials,
    )
    return rule.why_at_fault(health, policy)


def _note_recovered(services: Services, provider: str, credential: str | None, times: int) -> None:
    def note(tx: Transaction) -> None:
        now = tx.now()
        brake = tx.brakes.note_successes(scope_of(provider, credential), times)
        if brake is not None and rule.is_holding(brake, now):
            _end_if_over(services, tx, brake, now)

    services.database.transact(note)


def _review(services: Services, tx: Transaction, brake: Brake, now: datetime) -> bool:
    if rule.is_holding(brake, now):
        return _end_if_over(services, tx, brake, now)
    if brake.expired_at is None:
        expired = tx.brakes.expire(brake, now)
        if expired:
            why = "maximum hold time reached: sessions in doubt are judged"
            tx.outbox.add([_event("released", replace(brake, reason=why), now)])
        return expired
    since = brake.provider, brake.credential, brake.expired_at
    doubted, answered = tx.brakes.doubted_by(*since), tx.brakes.has_answered(*since)
    policy = services.policy(brake.provider)
    return rule.is_forgotten(brake, policy, now, doubted=doubted, answered=answered) and tx.brakes.forget(
        brake
    )


def _end_if_over(services: Services, tx: Transaction, brake: Brake, now: datetime) -> bool:
    wanted = services.policy(brake.provider).brake_release_successes
    why = rule.why_over(tx.brakes.recovery(brake), wanted)
    return why is not None and _lift(tx, brake, why, now)


def _lift(tx: Transaction, brake: Brake, why: str, now: datetime) -> bool:
    """Lift the brake. Streaks of failures there start again at zero; the time since the last proof of life
    continues."""
    if not tx.brakes.forget(brake):
        return False
    tx.brakes.begin_again(brake)
    tx.outbox.add([_event("released", replace(brake, reason=why), now)])
    return True


def _event(kind: str, brake: Brake, now: datetime) -> Event:
    data: Mapping[str, Any] = {
        "provider": brake.provider,
        "credential": brake.credential,
        "reason": brake.reason,
        "since": rfc3339(brake.since),
        "until": rfc3339(brake.until),
        "at": rfc3339(now),
    }
    return Event(type=f"orchestrator.provider.{kind}", subject=brake.provider, data=data)


def _scopes(key: ProviderKey) -> list[ProviderKey]:
    provider, credential = key
    return [(provider, None)] if credential is None else [(provider, None), (provider, credential)]


def _by_name(scope: Any) -> tuple[str, ...]:
    return tuple(str(part or "") for part in scope)
