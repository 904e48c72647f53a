"""Providers as JSON: the configuration, the database's rows, and which secrets this machine has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.rules.events import rfc3339
from orchestrator.rules.installation.installation_alarms import InstallationAlarm, InstallationAlarmKind
from orchestrator.rules.upstream.alarms import Alarm
from orchestrator.rules.upstream.network import concerns
from orchestrator.rules.values import Brake, Credential, Meter
from orchestrator.rules.values.amounts import money_text
from orchestrator.settings import Configuration, ProviderConfiguration, SecretStore
from orchestrator.store.queries.rate_limits import ModelRateLimit
from orchestrator.store.transaction import Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownProviders:
    """What the database and this machine know of providers."""

    rows: Mapping[tuple[str, str], Credential]
    in_use: Mapping[tuple[str, str], int]
    brakes: Sequence[Brake]
    alarms: Sequence[Alarm]
    network: Sequence[InstallationAlarm]
    """What holds over all providers of a host, or over one."""
    meters: Mapping[str, Meter]
    rate_limits: Mapping[str, datetime]
    model_rate_limits: Sequence[ModelRateLimit]
    secrets: SecretStore
    now: datetime

    def state(self, provider: str, ref: str, *, retired: bool) -> tuple[str, str | None]:
        """Return a credential's state and the reason for it. A reason that keeps it from new placements comes first."""
        row = self.rows.get((provider, ref))
        if retired or (row is not None and row.retired):
            return "retired", "takes no new placement, but its sessions are closed under it"
        missing = self.secrets.why_missing(ref)
        if missing:
            return "secret missing", missing
        held = self._held(row) if row is not None else None
        if held is not None:
            return held
        if self.in_use.get((provider, ref)):
            return "in use", None
        return "free", None if row else "no worker has started with it yet"

    def _held(self, row: Credential) -> tuple[str, str | None] | None:
        """Return the pause, rate limit or rest that the database records for a credential."""
        if row.paused_since is not None:
            return "paused", f"since {rfc3339(row.paused_since)}: {row.paused_reason}"
        if row.cool_until is not None and row.cool_until > self.now:
            return "rate-limited", f"until {rfc3339(row.cool_until)}"
        if row.resting_until is not None and row.resting_until > self.now:
            return "resting", f"until {rfc3339(row.resting_until)}"
        return None


def known_of(tx: Transaction, secrets: SecretStore) -> KnownProviders:
    """Read everything at one instant."""
    now = tx.now()
    return KnownProviders(
        rows={(row.provider, row.ref): row for row in tx.credentials.listed()},
        in_use=tx.credentials.in_use(),
        brakes=tx.brakes.holding(now),
        alarms=tx.alarms.listed(),
        network=tx.installation_alarms.listed(InstallationAlarmKind.NETWORK_DOWN),
        meters={meter.provider: meter for meter in tx.meters.listed()},
        rate_limits=tx.rate_limits.of_providers(now),
        model_rate_limits=tx.rate_limits.of_models(now),
        secrets=secrets,
        now=now,
    )


def reports(configuration: Configuration, known: KnownProviders) -> Iterator[dict[str, Any]]:
    """Yield one report for each provider, and for each that the configuration no longer names but has unended
    placements."""
    for provider in configuration.providers.values():
        yield _configured(provider, known)
    gone = {name for (name, _), count in known.in_use.items() if count} - set(configuration.providers)
    for name in sorted(gone):
        refs = sorted(ref for provider, ref in known.in_use if provider == name and ref)
        unknown = {"driver": None, "base_url": None, "max_in_flight": None}
        credentials = [_credential(known, name, ref, retired=True) for ref in refs]
        yield {"name": name, **unknown, "credentials": credentials, **_health(known, name)}


def _configured(provider: ProviderConfiguration, known: KnownProviders) -> dict[str, Any]:
    return {
        "name": provider.name,
        "driver": provider.driver,
        "base_url": provider.base_url,
        "max_in_flight": provider.max_in_flight,
        "credentials": [
            _credential(known, provider.name, ref, retired=ref in provider.retired_credentials)
            for ref in provider.all_credentials
        ],
        **_health(known, provider.name),
    }


def _credential(known: KnownProviders, provider: str, ref: str, *, retired: bool) -> dict[str, Any]:
    row = known.rows.get((provider, ref))
    state, why = known.state(provider, ref, retired=retired)
    return {
        "ref": ref,
        "state": state,
        "why": why,
        "exclusive": row.exclusive if row else None,
        "placements": known.in_use.get((provider, ref), 0),
        "last_used_at": rfc3339(row.last_used_at) if row else None,
        "paused_since": rfc3339(row.paused_since) if row else None,
        "paused_reason": row.paused_reason if row else None,
        "wait_until": rfc3339(row.cool_until) if row else None,
    }


def _health(known: KnownProviders, provider: str) -> dict[str, Any]:
    meter = known.meters.get(provider, Meter(provider=provider))
    return {
        "brakes": [_brake(brake) for brake in known.brakes if brake.provider == provider],
        "network": [_network(one) for one in known.network if concerns(one.about, provider)],
        "wait_until": rfc3339(known.rate_limits.get(provider)),
        "model_waits": [
            _model_rate_limit(one) for one in known.model_rate_limits if one.provider == provider
        ],
        "alarms": [of_alarm(alarm) for alarm in known.alarms if alarm.provider == provider],
        "pings": {"count": meter.pings, "tokens": meter.tokens, "cost_usd": money_text(meter.cost_usd)},
        "balance": _balance(meter),
    }


def _model_rate_limit(wait: ModelRateLimit) -> dict[str, Any]:
    return {"credential": wait.credential, "model": wait.model_id, "wait_until": rfc3339(wait.until)}


def _brake(brake: Brake) -> dict[str, Any]:
    return {
        "credential": brake.credential,
        "since": rfc3339(brake.since),
        "until": rfc3339(brake.until),
        "reason": brake.reason,
    }


def _network(alarm: InstallationAlarm) -> dict[str, Any]:
    return {"from": alarm.about, "since": rfc3339(alarm.since), "reason": alarm.reason}


def of_alarm(alarm: Alarm) -> dict[str, Any]:
    """Return one open alarm."""
    return {
        "kind": alarm.kind.value,
        "credential": alarm.credential,
        "model": alarm.model_id,
        "since": rfc3339(alarm.since),
        "seen_at": rfc3339(alarm.seen_at),
        "retry_at": rfc3339(alarm.retry_at),
        "reason": alarm.reason,
    }


def _balance(meter: Meter) -> dict[str, Any] | None:
    """Return the balance that was read last; None if it never was."""
    if meter.balance is None:
        return None
    return {
        "amount": money_text(meter.balance),
        "currency": meter.balance_currency,
        "read_at": rfc3339(meter.balance_at),
        "low": meter.balance_is_low,
    }
