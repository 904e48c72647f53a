"""`orchestrator.toml` as the rest of the system sees it: frozen, checked, with every default filled in."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, urlsplit

from orchestrator.rules.admission.quota import AccountTerms, terms_of
from orchestrator.rules.audit.invariants import Thresholds
from orchestrator.rules.installation.retention import DeleteAfter, SessionRetention, delete_after
from orchestrator.rules.upstream.addresses import (
    Network,
    Reach,
    hides_an_address,
    is_address_or_local,
    is_loopback,
)
from orchestrator.rules.values import ZERO, Account, Plan, Policy
from orchestrator.settings.secrets import is_reference

#: What a file's [plans.NAME] is laid over.
BUILT_IN_PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        "payg": Plan(name="payg", max_sessions=20, max_concurrent=2, max_nodes=2),
        "contract": Plan(name="contract"),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachRule:
    """Secrets that match `secret_ref` may be sent to `host`: `name`, `name:port`, or either after `http://`."""

    secret_ref: str
    host: str

    @property
    def origin(self) -> SplitResult:
        """The rule's scheme, host and port; `https` where it names no scheme."""
        return urlsplit(self.host if "://" in self.host else f"https://{self.host}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderConfiguration:
    """One `[providers.NAME]`."""

    name: str
    driver: str
    base_url: str
    """Without a slash at its end; empty where the driver needs none."""
    credentials: tuple[str, ...] = ()
    """References that take placements."""
    retired_credentials: tuple[str, ...] = ()
    """References that take no placement any more and serve the closes."""
    max_in_flight: int = 64
    """Requests at once, per worker process."""
    policy: Policy = field(default_factory=Policy)
    options: Mapping[str, Any] = field(default_factory=dict)
    """The driver's own keys."""

    @property
    def all_credentials(self) -> tuple[str, ...]:
        return self.credentials + self.retired_credentials

    @property
    def endpoint_secrets(self) -> Mapping[str, str]:
        """Key → reference of the secrets that stand among the driver's own keys."""
        options = self.options.items()
        return {key: text for key, text in options if isinstance(text, str) and is_reference(text)}

    @property
    def secret_refs(self) -> tuple[str, ...]:
        """Every secret that is its own: its credentials, and what its driver's keys refer to."""
        return (*self.all_credentials, *self.endpoint_secrets.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionSettings:
    """`[retention]`: what is kept for how long, and how much of it."""

    events_days: float = 30
    """Delivered events are pruned after so long."""
    stream_bytes: int | None = None
    """What the events may take in the broker's memory; None: a quarter of its `maxmemory`."""
    sessions: SessionRetention = SessionRetention.KEEP
    """What becomes of sessions that ended long ago."""
    sessions_kept_days: float | None = None
    """How long a session that is over stays in the live tables; None: for ever."""
    auto_delete_after_seconds: float | None = None
    """After how long a session that ended is deleted, unless its account's plan says otherwise; None: never."""

    @property
    def sessions_kept(self) -> timedelta | None:
        """How long sessions stay in the live tables; None: for ever."""
        if self.sessions is SessionRetention.KEEP or self.sessions_kept_days is None:
            return None
        return timedelta(days=self.sessions_kept_days)


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    policy: Policy = field(default_factory=Policy)
    plans: Mapping[str, Plan] = field(default_factory=lambda: BUILT_IN_PLANS)
    catalog_required_tags: tuple[str, ...] = ("ready",)
    attach_allowed: tuple[AttachRule, ...] = ()
    attach_networks: tuple[Network, ...] = ()
    """Private ranges that the host names of attached endpoints may lead to."""
    providers: Mapping[str, ProviderConfiguration] = field(default_factory=dict)
    audit: Thresholds = field(default_factory=Thresholds)
    canary_url: str | None = None
    """What answers as long as the network works; None: only providers and workers are compared."""
    retention: RetentionSettings = field(default_factory=RetentionSettings)

    def policy_for(self, provider: str | None) -> Policy:
        """Return the provider's policy; the general one for none and for a provider that is no longer configured."""
        known = self.providers.get(provider) if provider is not None else None
        return self.policy if known is None else known.policy

    def plan(self, name: str) -> Plan | None:
        return self.plans.get(name)

    def terms_of(self, account: Account) -> AccountTerms:
        """Return the account's plan with its own numbers; one that was taken out of the file lets nothing new begin."""
        plan = self.plan(account.plan)
        if plan is None:
            own = account.overdraft_limit or ZERO
            gone = Plan(name=account.plan, max_sessions=0, max_concurrent=0, overdraft_limit=own)
            return AccountTerms(plan=gone)
        return terms_of(plan, account)

    def cleanup_debts(self) -> dict[str | None, float]:
        """Return after how many seconds an unproven close is our debt, by provider; None: everywhere else."""
        everywhere: dict[str | None, float] = {None: self.policy.cleanup_debt_after_seconds}
        return everywhere | {
            name: one.policy.cleanup_debt_after_seconds for name, one in self.providers.items()
        }

    def delete_after(self) -> DeleteAfter:
        """Return after how long the ended sessions of each plan's accounts are deleted."""
        of_plans = {name: plan.auto_delete_after_seconds for name, plan in self.plans.items()}
        return delete_after(self.retention.auto_delete_after_seconds, of_plans)

    @property
    def attach_reach(self) -> Reach:
        """Where attached endpoints may lead: a rule for an address is the operator's word for that very address."""
        hosts = {rule.origin.hostname or "" for rule in self.attach_allowed}
        return Reach(named=frozenset(filter(is_address_or_local, hosts)), networks=self.attach_networks)

    def attach_permits(self, secret_ref: str, endpoint_url: str) -> bool:
        """Return whether a job may send this secret there: only by a rule, and never a provider's own secret."""
        if not is_reference(secret_ref) or self._is_a_providers_own(secret_ref):
            return False
        host = _host_of(endpoint_url)
        return host is not None and any(
            fnmatchcase(secret_ref, rule.secret_ref) and _permits(rule, host) for rule in self.attach_allowed
        )

    def _is_a_providers_own(self, secret_ref: str) -> bool:
        """Return whether this is a provider's secret. Files are compared by where they lead: a link to a provider's
        secret is that secret."""
        own = {_resolved(ref) for provider in self.providers.values() for ref in provider.secret_refs}
        return _resolved(secret_ref) in own


def _resolved(ref: str) -> str:
    return f"file:{os.path.realpath(ref[5:])}" if ref.startswith("file:") else ref


def _host_of(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    plain = parts.scheme in {"http", "https"} and "@" not in parts.netloc and "\\" not in url
    return parts if plain and parts.hostname and not hides_an_address(parts.hostname) else None


def _permits(rule: AttachRule, url: SplitResult) -> bool:
    """Compare scheme, host and port; a rule for the machine itself need not name them, for nothing leaves it."""
    origin = rule.origin
    if origin.hostname != url.hostname:
        return False
    if is_loopback(origin.hostname or "") and "://" not in rule.host:
        return origin.port is None or origin.port == _port(url)
    return (origin.scheme, _port(origin)) == (url.scheme, _port(url))


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
