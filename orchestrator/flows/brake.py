"""The brake: deaths and failovers are frozen where the provider, or one key of it, is at fault.

Never frozen: stops by rule, and deaths that the platform's own status or list confirms."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from orchestrator.flows.account_work import AccountWork
from orchestrator.flows.services import Services
from orchestrator.rules import brake as rule
from orchestrator.rules.events import Event, rfc3339
from orchestrator.rules.values import Brake, Session
from orchestrator.store.brakes import scope_of
from orchestrator.store.unit import Transaction


def holds(work: AccountWork, session: Session) -> bool:
    """Is this session's provider, or its key, held to be at fault? Looks, and engages the brake where it must."""
    if session.provider is None:
        return False
    if work.tx.brakes.holding(session.provider, session.credential):
        return True
    scopes = [None] if session.credential is None else [None, session.credential]
    return any(_engaged(work, session.provider, credential) for credential in scopes)


def note_recovery(work: AccountWork, session: Session) -> None:
    """A session that was in doubt answers again; enough of them lift the brake."""
    assert session.provider is not None
    wanted = work.policy(session).brake_release_successes
    for brake in work.tx.brakes.holding(session.provider, session.credential):
        recovered = work.tx.brakes.succeeded(brake.scope)
        still_ill = work.tx.brakes.still_ill(brake.provider, brake.credential)
        if rule.is_well_again(recovered, still_ill, wanted):
            _lift(work.tx, brake, f"{recovered} there answer again, {still_ill} do not", work.now)


def slowed(work: AccountWork, session: Session) -> Session:
    """The same session, pinged less often; what its claim wrote for the case of silence counts no more."""
    seconds = work.policy(session).ping_interval_seconds * rule.SLOWDOWN
    return work.planned(replace(session, ping_at=work.now + timedelta(seconds=seconds)))


def release_overdue(services: Services) -> int:
    """Lift the brakes that have held for `brake_max_seconds`."""

    def lift(tx: Transaction) -> int:
        now = tx.now()
        overdue = tx.brakes.overdue(now)
        for brake in overdue:
            _lift(tx, brake, "it held for as long as it may", now)
        return len(overdue)

    return services.database.transact(lift)


def release_by_hand(services: Services, provider: str) -> int:
    """An operator knows better: lift every brake of this provider; return how many there were."""

    def lift(tx: Transaction) -> int:
        brakes = [brake for brake in tx.brakes.listed() if brake.provider == provider]
        for brake in brakes:
            _lift(tx, brake, "an operator released it", tx.now())
        return len(brakes)

    return services.database.transact(lift)


def _engaged(work: AccountWork, provider: str, credential: str | None) -> bool:
    health = work.tx.brakes.health(provider, credential, work.now)
    if not rule.is_at_fault(health):
        return False
    ill = health.doubtful + health.died
    brake = Brake(
        scope=scope_of(provider, credential),
        provider=provider,
        credential=credential,
        since=work.now,
        until=work.now + timedelta(seconds=work.services.policy(provider).brake_max_seconds),
        reason=f"{ill} of {health.running + health.died} sessions fell ill within {_minutes()} minutes",
    )
    if work.tx.brakes.engage(brake):
        work.tx.outbox.add([_event("braked", brake, work.now)])
    return True


def _lift(tx: Transaction, brake: Brake, why: str, now: datetime) -> None:
    if tx.brakes.release(brake):
        tx.outbox.add([_event("released", replace(brake, reason=why), now)])


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


def _minutes() -> int:
    return int(rule.WINDOW / timedelta(minutes=1))
