"""`orchestrator.toml` as the rest of the system uses it: frozen, checked, with every default filled in."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from orchestrator.rules.admission.quota import AccountTerms, terms_of
from orchestrator.rules.audit.invariants import Thresholds
from orchestrator.rules.installation.retention import LEAST_DAYS, DeleteAfter, SessionRetention, delete_after
from orchestrator.rules.installation.secret_texts import is_reference
from orchestrator.rules.upstream.addresses import (
    Network,
    Reach,
    hides_an_address,
    is_address_or_local,
    is_loopback,
)
from orchestrator.rules.values import ZERO, Account, Plan, Policy
from orchestrator.settings.tables import OF_CONTEXT, Table, within
from orchestrator.validation.wording import where, wrong

#: Bytes of a stream that holds a few events, and more than any broker has.
_SMALLEST_STREAM, _LARGEST_STREAM = 65_536, 1_000_000_000_000

#: What a file's [plans.NAME] is laid over.
BUILT_IN_PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        "payg": Plan(name="payg", max_sessions=20, max_concurrent=2, max_nodes=2),
        "contract": Plan(name="contract"),
    }
)


def _is_host(rule: str) -> bool:
    scheme, _, rest = rule.lower().rpartition("://")
    host = rest if scheme in {"http", "https"} else rule
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return False
    return bool(parts.hostname) and parts.netloc == host and not set(host) & set("@*? \\")


def _is_pattern(ref: str) -> bool:
    return ref.startswith(("env:", "file:/")) and ref not in {"env:*", "file:/*"}


class AttachRule(Table):
    """Secrets that match `secret_ref` may be sent to `host`: `name`, `name:port`, or either after `http://`."""

    secret_ref: Annotated[
        str, where(_is_pattern, "must be env:NAME or file:/path, where * stands for any characters of a name")
    ]
    host: Annotated[
        str,
        where(
            _is_host,
            "must be a host's name, with its port unless that is 443 (name:8443); for an endpoint without TLS, after"
            " its scheme (http://name:8080)",
        ),
        AfterValidator(str.lower),
    ]

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
    own_policy: tuple[str, ...] = field(default=(), compare=False)
    """Keys of the policy that the provider's own table holds: a change of `[policy]` does not reach them."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The driver's own keys."""

    @property
    def all_credentials(self) -> tuple[str, ...]:
        return self.credentials + self.retired_credentials

    @property
    def endpoint_secrets(self) -> Mapping[str, str]:
        """Key → reference of the secrets among the driver's own keys."""
        options = self.options.items()
        return {key: text for key, text in options if isinstance(text, str) and is_reference(text)}

    @property
    def secret_refs(self) -> tuple[str, ...]:
        """Every secret of the provider: its credentials, and the references in its driver's keys."""
        return (*self.all_credentials, *self.endpoint_secrets.values())


def _stream(size: int) -> int | None:
    if 0 < size < _SMALLEST_STREAM:
        raise wrong(f"must be at least {_SMALLEST_STREAM}, or 0: a quarter of the broker's memory")
    return size or None


class RetentionSettings(Table):
    """`[retention]`: what is kept for how long, and how much of it."""

    events_days: Annotated[float, within("_days", 1)] = 30
    """Delivered events are pruned after this long."""
    stream_bytes: Annotated[int, within("_bytes", 0, _LARGEST_STREAM), AfterValidator(_stream)] | None = None
    """What the events may take in the broker's memory; None: a quarter of its `maxmemory`."""
    sessions: Annotated[SessionRetention, Field(strict=False)] = SessionRetention.KEEP
    """What becomes of sessions that ended long ago."""
    sessions_kept_days: Annotated[float, within("_days", LEAST_DAYS)] | None = Field(
        None, validate_default=True
    )
    """How long a session that is over stays in the live tables; None: for ever."""
    auto_delete_after_seconds: (
        Annotated[int, within("_seconds", 0), AfterValidator(lambda seconds: seconds or None)] | None
    ) = None
    """After how long a session that ended is deleted, unless its account's plan says otherwise; None: never."""

    @field_validator("sessions_kept_days")
    @classmethod
    def _goes_with_sessions(cls, days: float | None, info: ValidationInfo) -> float | None:
        """Refuse each of the two keys without the other."""
        sessions = info.data.get("sessions") if info.context else None
        if sessions is SessionRetention.KEEP and days is not None:
            raise wrong(
                'needs the key sessions, "archive" or "delete": what happens after that many days', OF_CONTEXT
            )
        if sessions in {SessionRetention.ARCHIVE, SessionRetention.DELETE} and days is None:
            raise wrong(f"must say after how many days ({LEAST_DAYS} or more) to {sessions}", OF_CONTEXT)
        return days

    @property
    def sessions_kept(self) -> timedelta | None:
        """How long sessions stay in the live tables; None: for ever."""
        if self.sessions is SessionRetention.KEEP or self.sessions_kept_days is None:
            return None
        return timedelta(days=self.sessions_kept_days)


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookConfiguration:
    """One `[webhooks.NAME]`."""

    url: str
    secret_refs: tuple[str, ...]
    event_types: tuple[str, ...] = ()
    account_ids: tuple[str, ...] = ()


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
    webhooks: Mapping[str, WebhookConfiguration] = field(default_factory=dict)

    def policy_for(self, provider: str | None) -> Policy:
        """Return the provider's policy, or the general one without a provider or for one that is no longer
        configured."""
        known = self.providers.get(provider) if provider is not None else None
        return self.policy if known is None else known.policy

    def plan(self, name: str) -> Plan | None:
        return self.plans.get(name)

    def terms_of(self, account: Account) -> AccountTerms:
        """Return the account's plan with its own limits. A plan that was removed from the file allows nothing new."""
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
        """Return how long after their end the sessions of each plan's accounts are deleted."""
        of_plans = {name: plan.auto_delete_after_seconds for name, plan in self.plans.items()}
        return delete_after(self.retention.auto_delete_after_seconds, of_plans)

    @property
    def attach_reach(self) -> Reach:
        """Where attached endpoints may lead. A rule for an address allows that very address."""
        hosts = {rule.origin.hostname or "" for rule in self.attach_allowed}
        return Reach(named=frozenset(filter(is_address_or_local, hosts)), networks=self.attach_networks)

    def attach_permits(self, secret_ref: str, endpoint_url: str) -> bool:
        """Return whether a job may send this secret there: a rule must allow it, and it must not be a provider's own
        secret."""
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
    """Compare scheme, host and port. A rule for this machine itself need not name them, since nothing leaves it."""
    origin = rule.origin
    if origin.hostname != url.hostname:
        return False
    if is_loopback(origin.hostname or "") and "://" not in rule.host:
        return origin.port is None or origin.port == _port(url)
    return (origin.scheme, _port(origin)) == (url.scheme, _port(url))


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
