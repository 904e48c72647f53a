"""Pings that failed: give them back where a worker had no network, so that they end no session; settle in bulk those
of sessions that only wait for their next ping.

Rows that every worker reads record the results of pings; `rules/upstream/network.py` decides what is at fault."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.ping.send_pings import Pinged, as_ping
from orchestrator.flows.upstream.alarms import close_alarms, close_unseen_alarms, open_alarm
from orchestrator.rules.admission.places import ProviderKey
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.rules.sessions.decide import PingAgain, after_ping, given_back, note_ping, plan_steps
from orchestrator.rules.sessions.pings import may_be_the_last
from orchestrator.rules.states import State, Step
from orchestrator.rules.upstream.brake import slowed_where_held
from orchestrator.rules.upstream.network import (
    FORGOTTEN_AFTER,
    WINDOW,
    Contact,
    Evidence,
    Finding,
    NetworkFails,
    NotKnown,
    is_still_at_fault,
    judge,
    subject_of,
)
from orchestrator.rules.values import Brake, Session, Verdict
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
    tried = [one for one in begun if one.session.state is State.RUNNING and not one.asleep]
    failed = [one for one in tried if one.probe.verdict is Verdict.TRANSIENT and one.ended is None]
    reached = {one.placement.provider for one in tried if one.probe.verdict is not Verdict.TRANSIENT}
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
    match _judged(services, pinged, contacts, now):
        case NetworkFails() as finding:
            here = [one for one in contacts if one.host == services.host]
            most = timedelta(seconds=services.policy(pinged.placement.provider).brake_max_seconds)
            if not is_still_at_fault(finding, here, now, most):
                return False
            _give_way(services, tx, pinged, finding, now)
            return True
        case NotKnown(ask=others):
            return _defer_to_others(services, tx, pinged, contacts, others, now)
        case _:
            return False


def _judged(services: Services, pinged: Pinged, contacts: Sequence[Contact], now: datetime) -> Finding:
    begun_at = now - timedelta(milliseconds=pinged.probe.latency_ms)
    return judge(
        Evidence(
            host=services.host,
            provider=pinged.placement.provider,
            contacts=contacts,
            failing_since=pinged.session.failing_since or begun_at,
            now=now,
            canary_answers=pinged.canary_answers,
        )
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
    contacts: Sequence[Contact],
    others: Sequence[str],
    now: datetime,
) -> bool:
    """Release a ping with a failure that may be the last until another provider was pinged too; return whether it was
    released. The wait is bounded."""
    policy = services.policy(pinged.placement.provider)
    if not may_be_the_last(pinged.session, as_ping(pinged.probe), policy, now):
        return False
    mine = next((one for one in contacts if _is_of(one, services.host, pinged.placement.provider)), None)
    longest = timedelta(seconds=policy.dead_after_seconds + policy.ping_timeout_seconds) + WINDOW
    too_long = mine is not None and mine.failing_since is not None and now - mine.failing_since > longest
    if too_long or not tx.pings.ask_soon(others, now):
        return False
    tx.pings.release([pinged.session.id], pinged.token, now + AGAIN_AFTER)
    return True


def _is_of(contact: Contact, host: str, provider: str) -> bool:
    return (contact.host, contact.provider) == (host, provider)


def settle(services: Services, chunk: Sequence[Pinged]) -> Mapping[str, ProviderKey]:
    """Return the ids of the sessions that were settled, and the place of each."""
    failing = [pinged for pinged in chunk if _only_failed(pinged)]
    if not failing:
        return {}

    def settle(tx: Transaction) -> dict[str, ProviderKey]:
        now = tx.now()
        brakes = {key: tx.brakes.at(*key) for key in {_key_of(one) for one in failing}}
        settled: dict[str, ProviderKey] = {}
        for token in sorted({one.token for one in failing}):
            mine = {one.session.id: one for one in failing if one.token == token}
            pairs = (_noted(services, one, brakes[_key_of(one)], now) for one in mine.values())
            written = tx.sessions.save_all([pair for pair in pairs if pair is not None], token)
            settled |= {session_id: _key_of(mine[session_id]) for session_id in written}
        return settled

    return services.database.transact(settle)


def _only_failed(pinged: Pinged) -> bool:
    """Return whether a running session's ping failed, without any other effect."""
    placement, probe = pinged.placement, pinged.probe
    if pinged.session.state is not State.RUNNING or pinged.asleep or placement.asleep_since is not None:
        return False
    findings = (probe.key_refused, probe.foreign_handle, pinged.ended)
    same_variant = probe.variant in (None, placement.ping_variant)
    return probe.verdict is Verdict.TRANSIENT and same_variant and all(one is None for one in findings)


def _noted(
    services: Services, pinged: Pinged, brakes: Sequence[Brake], now: datetime
) -> tuple[Session, Session] | None:
    """Return the session before and after its ping; None if more follows than the next ping."""
    before, policy = pinged.session, services.policy(pinged.session.provider)
    noted = note_ping(before, as_ping(pinged.probe, pinged.lives), policy, now)
    decision = after_ping(noted, policy, now, services.jitter())
    if not isinstance(decision, PingAgain):
        return None
    after = slowed_where_held(replace(given_back(noted), ping_at=decision.at), brakes, policy, now)
    return before, plan_steps(after, policy, now, ping_at=after.ping_at)


def _key_of(pinged: Pinged) -> ProviderKey:
    return pinged.placement.provider, pinged.placement.credential
