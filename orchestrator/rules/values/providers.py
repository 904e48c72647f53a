"""Credentials, brakes and other rows about providers."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from orchestrator.rules.values.amounts import ZERO
from orchestrator.rules.values.leases import Lease


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """One secret in a provider's key ring, by reference."""

    id: str
    provider: str
    ref: str
    exclusive: bool
    serialised: bool
    fingerprint: str
    retired: bool = False
    paused_since: datetime | None = None
    paused_reason: str | None = None
    resting_until: datetime | None = None
    cool_until: datetime | None = None
    """The end of the provider's rate limit: until then only closes are sent."""
    checked_at: datetime | None = None
    """When it was last tried while paused."""
    last_used_at: datetime | None = None
    lease: Lease | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Brake:
    """A provider, or one of its credentials, that is treated as being at fault."""

    scope: str
    provider: str
    credential: str | None
    """None: the whole provider."""
    since: datetime
    until: datetime
    """When it expires, unless it ends before."""
    reason: str
    successes: int = 0
    """How many sessions in doubt there have answered since."""
    expired_at: datetime | None = None
    """When its expiry was noted. The row is kept until the sessions that it held have been judged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileObservation:
    """A difference in the last list under one key that the next list must confirm."""

    provider: str
    credential: str
    """The key's reference; empty without a key."""
    handle: str
    missing: bool
    """True: ours, and not listed; False: listed, and not known as ours."""
    since: datetime
    """When the first of an unbroken series of lists showed it, by our clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meter:
    """The cost of one provider's pings, and the balance of our account there."""

    provider: str
    pings: int = 0
    tokens: int = 0
    cost_usd: Decimal = ZERO
    balance: Decimal | None = None
    balance_currency: str | None = None
    balance_at: datetime | None = None
    balance_is_low: bool = False
