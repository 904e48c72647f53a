"""Pings that failed: give them back where a worker had no network, so that they end no session; settle in bulk those
of sessions that only wait for their next ping.

Rows that every worker reads record the results of pings; `rules/upstream/network.py` decides what is at fault."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.ping.send_pings import Pinged
from orchestrator.flows.upstream.alarms import close_alarms, close_unseen_alarms, open_alarm
from orchestrator.rules.admission.places import ProviderKey
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.rules.sessions.pings import may_be_the_last, only_failed, reaches
from orchestrator.rules.states import Step
from orchestrator.rules.upstream.brake import after_failed_ping
from orchestrator.rules.upstream.network import (
    FORGOTTEN_AFTER,
    Contact,
    Evidence,
    NetworkFails,
    NotKnown,
    is_still_at_fault,
    judge,
    may_wait,
    subject_of,
)
from orchestrator.rules.values import Brake, Session
from orchestrator.store.transaction import Transaction

#: An unchanged contact is written again after this.
WRITTEN_FOR = timedelta(seconds=10)
#: An alarm that no worker sees any more ends: its host is gone.
UNSEEN_AFTER = timedelta(minutes=10)
#: A failed ping that is not judged yet is sent again after this.
AGAIN_AFTER = timedelta(seconds=2)


def note_and_judge(services: Services, tx: Transaction, begun: Sequence[Pinged], now: datetime) -> set[str]:
    """Save which providers answered pings of running sessions. Give back pings that failed because of the network, and
    return their sessions."""
    contact = [(one, reaches(one.session, one.ping)) for one in begun]
    failed = [one for one, reached in contact if reached is False]
    reached = {one.placement.provider for one, reached in contact if reached}
    _note(services, tx, reached, {one.placement.provider for one in failed} - reached, now)
    if not failed:
        return set()
    contacts = tx.contacts.all()
    return {one.session.id for one in failed if _is_given_back(services, tx, one, contacts, now)}


def prune(services: Services) -> None:
    """Delete old rows: contacts, and alarms that no worker has renewed."""

    def forget(tx: Transaction) -> None:
        now = tx.now()
        tx.contacts.forget(now - FORGOTTEN_AFTER)
        why = f"it was not seen for {UNSEEN_AFTER.total_seconds():.0f} s"
        close_unseen_alarms(tx, InstallationAlarmKind.NETWORK_DOWN, now - UNSEEN_AFTER, why)

    services.database.transact(forget)


def _note(
    services: Services, tx: Transaction, reached: Iterable[str], failed: Iterable[str], now: datetime
) -> None:
    turns, host = services.cooldowns, services.host
    for provider in sorted(reached):
        if turns.take_turn(("reached", provider), now, WRITTEN_FOR):
            tx.contacts.note_reached(host, provider, now)
            about, why = [subject_of(host), subject_of(host, provider)], f"{provider} answers {host} again"
            close_alarms(tx, InstallationAlarmKind.NETWORK_DOWN, about, why)
    for provider in sorted(failed):
        turns.forget_turn(("reached", provider))
        tx.contacts.note_failed(host, provider, now)


def _is_given_back(
    services: Services, tx: Transaction, pinged: Pinged, contacts: Sequence[Contact], now: datetime
) -> bool:
    evidence = _evidence(services, pinged, contacts, now)
    match judge(evidence):
        case NetworkFails() as finding:
            here = [one for one in contacts if one.host == services.host]
            most = timedelta(seconds=services.policy(pinged.placement.provider).brake_max_seconds)
            if not is_still_at_fault(finding, here, now, most):
                return False
            _give_way(services, tx, pinged, finding, now)
            return True
        case NotKnown(ask=others):
            return _defer_to_others(services, tx, pinged, evidence, others)
        case _:
            return False


def _evidence(services: Services, pinged: Pinged, contacts: Sequence[Contact], now: datetime) -> Evidence:
    begun_at = now - timedelta(milliseconds=pinged.probe.latency_ms)
    return Evidence(
        host=services.host,
        provider=pinged.placement.provider,
        contacts=contacts,
        failing_since=pinged.session.failing_since or begun_at,
        now=now,
        canary_answers=pinged.canary_answers,
    )


def _give_way(
    services: Services, tx: Transaction, pinged: Pinged, finding: NetworkFails, now: datetime
) -> None:
    """Release the ping without counting a failure, let other workers ping first, and alarm this host's network."""
    provider = pinged.placement.provider
    tx.pings.release([pinged.session.id], pinged.token, now)
    services.cooldowns.begin(Step.PING, provider, now)
    about = subject_of(services.host, finding.provider)
    if services.cooldowns.take_turn(("network", about), now, WRITTEN_FOR):
        reason = (
            f"{finding.why}: the network of {services.host} is at fault, not the sessions. No session pinged from there"
            " is closed or moved as dead. Look at its interfaces, routes, firewall and resolver"
        )
        open_alarm(tx, InstallationAlarmKind.NETWORK_DOWN, about, reason, now)


def _defer_to_others(
    services: Services,
    tx: Transaction,
    pinged: Pinged,
    evidence: Evidence,
    others: Sequence[str],
) -> bool:
    """Release a ping with a failure that may be the last until another provider was pinged too; return whether it was
    released. The wait is bounded."""
    policy, now = services.policy(pinged.placement.provider), evidence.now
    if not may_be_the_last(pinged.session, pinged.ping, policy, now):
        return False
    if not may_wait(evidence, policy) or not tx.pings.ask_soon(others, now):
        return False
    tx.pings.release([pinged.session.id], pinged.token, now + AGAIN_AFTER)
    return True


def settle(services: Services, chunk: Sequence[Pinged]) -> Mapping[str, ProviderKey]:
    """Return the ids of the sessions that were settled, and the place of each."""
    failing = [one for one in chunk if only_failed(one.session, one.placement, one.ping)]
    if not failing:
        return {}

    def settle(tx: Transaction) -> dict[str, ProviderKey]:
        now = tx.now()
        brakes = {key: tx.brakes.at(*key) for key in {_key_of(one) for one in failing}}
        settled: dict[str, ProviderKey] = {}
        for token in sorted({one.token for one in failing}):
            mine = {one.session.id: one for one in failing if one.token == token}
            after = [(one.session, _after(services, one, brakes[_key_of(one)], now)) for one in mine.values()]
            pairs = [(session, noted) for session, noted in after if noted is not None]
            written = tx.sessions.save_all(pairs, token)
            settled |= {session_id: _key_of(mine[session_id]) for session_id in written}
        return settled

    return services.database.transact(settle)


def _after(services: Services, pinged: Pinged, brakes: Sequence[Brake], now: datetime) -> Session | None:
    policy, jitter = services.policy(pinged.session.provider), services.jitter()
    return after_failed_ping(pinged.session, pinged.ping, brakes, policy, now, jitter)


def _key_of(pinged: Pinged) -> ProviderKey:
    return pinged.placement.provider, pinged.placement.credential
