"""Settle in bulk the failed pings of sessions that only wait for their next ping."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.ping.send_pings import Pinged, as_ping
from orchestrator.rules.admission.places import ProviderKey
from orchestrator.rules.sessions.decide import PingAgain, after_ping, given_back, note_ping, plan_steps
from orchestrator.rules.states import State
from orchestrator.rules.upstream.brake import slowed_where_held
from orchestrator.rules.values import Brake, Session, Verdict
from orchestrator.store.transaction import Transaction


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
