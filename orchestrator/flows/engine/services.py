"""What every flow is given, built in one place (`wiring`)."""

import logging
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.flows.engine.canary import Canary
from orchestrator.flows.engine.crowd import Crowd
from orchestrator.flows.engine.loop import EventLoop
from orchestrator.flows.engine.metering import WaitingCounts
from orchestrator.flows.engine.slots import Cooldowns, Pace, Slots, Suspects
from orchestrator.providers.port.card import Card
from orchestrator.providers.port.driver import Auth, Driver, Secret
from orchestrator.providers.port.questions import AsksEndpoints
from orchestrator.rules.billing.groups import FEW
from orchestrator.rules.states import Step
from orchestrator.rules.upstream.placements import resolve_after
from orchestrator.rules.values import Placement, Policy
from orchestrator.settings import Configuration, SecretStore
from orchestrator.settings.secrets import KeyRing, KeyRings
from orchestrator.store.database import Database

log = logging.getLogger(__name__)

#: A ping that has not begun this long after its claim is given back; a stop that meets a fresh claim lets the
#: close wait as long. So no ping begins after a close. Seconds.
PING_BEGINS_WITHIN = 1.0
#: A lease outlasts its call's deadline by at least this: time to begin, and to settle. Seconds.
LEASE_MARGIN = 5.0


def ping_lease(policy: Policy) -> float:
    """Return the lease of a claim to ping: three times a ping's deadline (90 s by default)."""
    return max(3 * policy.ping_timeout_seconds, policy.ping_timeout_seconds + LEASE_MARGIN)


def open_lease(policy: Policy) -> float:
    """Return the lease of a claim to open or resolve: the deadline and two sevenths (540 s by default)."""
    return policy.open_timeout_seconds + max(policy.open_timeout_seconds * 2 / 7, LEASE_MARGIN)


def close_lease(policy: Policy) -> float:
    """Return the lease of a claim to close: the deadline and half of it (180 s by default)."""
    return policy.close_timeout_seconds + max(policy.close_timeout_seconds / 2, LEASE_MARGIN)


def jitter() -> float:
    """Return a number between -1 and 1: it spreads the pings of sessions that were created together."""
    return random.uniform(-1, 1)


@dataclass(frozen=True, kw_only=True)
class Services:
    """What one worker process works with."""

    database: Database
    config: Configuration
    drivers: Mapping[str, Driver]
    secrets: SecretStore
    loop: EventLoop
    slots: Slots
    wake: Callable[[frozenset[Step]], None] = field(default=lambda _steps: None)
    """Publish wake-ups for these steps; may fail silently, for the ticks come anyway."""
    jitter: Callable[[], float] = jitter
    cooldowns: Cooldowns = field(default_factory=Cooldowns)
    """Providers that this process leaves to others for seconds, after failures of its own."""
    crowd: Crowd = field(default_factory=Crowd)
    """Threads that wait for accounts; worker processes bound them."""
    few_sessions: int = FEW
    """Up to this many starting and running sessions, an account is computed from each of them, not from groups."""
    keys: KeyRings = field(default_factory=KeyRings)
    """The keys that this process has."""
    pace: Pace = field(default_factory=Pace)
    """How many pings this process can begin soon."""
    waiting_counts: WaitingCounts = field(default_factory=WaitingCounts)
    """What this process's pings cost, until that is saved."""
    suspects: Suspects = field(default_factory=Suspects)
    """Pings under way of sessions that failed last time."""
    host: str = field(default_factory=socket.gethostname)
    """The machine, as alarms and other workers name it."""
    canary: Canary | None = None
    """The URL that answers while the network of this machine works; None: none is configured."""
    conversation: AsksEndpoints | None = None
    """Asks endpoints what people ask; None: in tests without a network."""

    def policy(self, provider: str | None) -> Policy:
        """Return the policy at this provider."""
        return self.config.policy_for(provider)

    def resolve_after(self, provider: str) -> float:
        """Return the seconds after which the effect of an open at this provider must show."""
        card = self.card(provider)
        return resolve_after(self.policy(provider), card.lifecycle.resolve_after_seconds if card else None)

    def card(self, provider: str) -> Card | None:
        """Return what this provider can do; None if it is not configured."""
        driver = self.drivers.get(provider)
        return driver.card if driver else None

    def secret(self, ref: str | None) -> Secret | None:
        """Return the secret behind a reference; None if there is none."""
        return None if ref is None else _secret(ref, self.secrets.get(ref))

    def secret_of(self, placement: Placement, now: datetime | None = None) -> Secret | None:
        """Return a placement's credential. Where the key is the address, it must be the very same secret, under any
        reference: a close under another key would end another session, and prove nothing. `now`: see `held`."""
        if placement.attach is not None:
            return self.secret(placement.attach.secret_ref)
        if not placement.exclusive or placement.fingerprint is None:
            return self.secret(placement.credential)
        own = self._matching(placement.credential, placement.fingerprint)
        if own is not None:
            return own
        moved = self.held(placement.provider, now).get(placement.fingerprint)
        return self._matching(moved, placement.fingerprint)

    def _matching(self, ref: str | None, fingerprint: str) -> Secret | None:
        return None if ref is None else _secret(ref, self.secrets.matching(ref, fingerprint))

    def lacks(self, placement: Placement) -> str | None:
        """Return the reference of the secret that a ping there needs and this worker cannot resolve. Without the
        secret, a healthy endpoint would refuse the ping."""
        ref = placement.secret_ref
        if ref is None or placement.endpoint_auth == Auth.NONE:
            return None
        return ref if self.secrets.get(ref) is None else None

    def held(self, provider: str, now: datetime | None = None) -> Mapping[str, str]:
        """Return fingerprint → reference of the secrets of this provider that this worker has. `now`: what was found
        seconds ago is good enough."""
        return self._ring(provider, now).held

    def lacking(self, provider: str, now: datetime | None = None) -> frozenset[str]:
        """Return the references of this provider that this worker cannot resolve: it skips their rows. `now`: see
        `held`."""
        return self._ring(provider, now).lacking

    def _ring(self, provider: str, now: datetime | None) -> KeyRing:
        refs = self.config.providers[provider].all_credentials
        return self.keys.of(provider, refs, self.secrets, now)


def _secret(ref: str, value: str | None) -> Secret | None:
    return None if value is None else Secret(ref=ref, value=value)
