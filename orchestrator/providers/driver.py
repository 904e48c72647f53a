"""The port to upstream platforms: what a driver can be asked, what it answers, and how it fails.

Every call may be repeated; "already done" is success. Drivers keep no state that a crash could lose.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from orchestrator.rules.values import ModelType, Verdict


class Auth(StrEnum):
    """How an endpoint wants the secret."""

    BEARER = "bearer"
    X_API_KEY = "x-api-key"
    BOTH = "both"
    NONE = "none"
    BASIC = "basic"


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a platform can do, as its driver says. Flows ask the card, never the driver's name."""

    has_lifecycle: bool
    """False: always-on endpoints; the close is local and proves itself."""
    can_list: bool = False
    closes_by_id: bool = False
    exclusive_credentials: bool = False
    """A credential carries at most one unclosed placement."""
    serialised: bool = False
    """Lifecycle calls of one credential run one at a time, under a lease on it."""
    repeats_open: bool = False
    """The identical open, sent again, adopts what the first one opened."""
    max_nodes: int | None = None
    shortest_duration_seconds: int = 0
    """The shortest session that the platform accepts."""
    minimum_billing_seconds: int = 0
    resolve_after_seconds: float | None = None
    """Longer than the policy's where an open's effect shows later here."""
    native_ping_is_lifecycle: bool = False
    """The configured ping can close the session, so it runs under the credential's lease."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """A credential as a driver uses it: its reference for messages, its value for headers."""

    ref: str
    value: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where a user sends chat completions. `secret_ref` names the secret; None: none is needed."""

    url: str
    model: str
    auth: Auth
    secret_ref: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What is to be opened, enough to send the identical call again."""

    placement_id: str
    name: str
    """Unique at the platform, for those where a create can be named."""
    model: str
    """As the platform calls it."""
    model_type: ModelType
    nodes: int
    duration_seconds: int
    options: Mapping[str, Any] = field(default_factory=dict)
    secret: Secret | None
    handle: str | None = None
    """A candidate seen earlier, for `resolve`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """It is open, as far as the platform says; the first good ping is the proof."""

    handle: str
    endpoint: Endpoint
    ends_at: datetime | None = None
    """The platform's own end, where it tells one."""
    lasts_seconds: int | None = None
    """Where it tells none: what was asked for."""
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NotPlaced:
    """`resolve` found that nothing was opened, or made it so; `proof` says how we know."""

    proof: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A placement to probe, ask about or close."""

    placement_id: str
    handle: str | None
    endpoint: Endpoint | None
    model: str
    model_type: ModelType
    secret: Secret | None
    max_tokens: int = 16
    timeout_seconds: float = 30
    """For the whole probe, all rungs of its ladder together."""
    begin_by: float | None = None
    """On `time.monotonic()`: no request of a probe begins after it."""
    variant: str | None = None
    """The rung that worked last time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """What one ping said."""

    verdict: Verdict
    latency_ms: int
    detail: str = ""
    """One line for people, without secrets, at most 300 characters."""
    retry_after_seconds: float | None = None
    variant: str | None = None
    tokens: int = 0
    cost_usd: str | None = None
    not_begun: bool = False
    """It was too late to begin, or to go on with the next rung: the verdict counts for nothing. With a
    `variant`, that is the rung from which the next ping goes on."""


class Life(StrEnum):
    """What the platform's own status says."""

    STARTING = "starting"
    RUNNING = "running"
    ASLEEP = "asleep"
    DEGRADED = "degraded"
    STOPPED = "stopped"
    GONE = "gone"
    UNKNOWN = "unknown"
    """The platform cannot be asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    life: Life
    detail: str = ""
    ends_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """Proven closed. `proof`: what the platform said; `nothing_was_open`: it had no session."""

    proof: str
    nothing_was_open: bool = False
    closed_handle: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One thing that is live at the platform."""

    handle: str
    name: str | None = None
    opened_at: datetime | None = None
    ends_at: datetime | None = None


class ProviderError(Exception):
    """An upstream platform did not do what it was asked. The message is for people and holds no secret."""


class Refused(ProviderError):
    """It said no, and nothing was created: try the next credential or provider."""


class ProviderFull(Refused):
    """It has no capacity for this now: try another provider."""


class ModelMissing(Refused):
    """It does not serve this model: another credential will not help."""


class CredentialRefused(Refused):
    """It does not accept this secret: pause the credential, try the next."""


class OutOfBalance(Refused):
    """The platform's own account there is empty: an operator must top it up."""


class Misconfigured(Refused):
    """The request as configured cannot work here: an operator must look."""


class NotSent(ProviderError):
    """The request certainly never reached the platform: send it again later."""


class Throttled(ProviderError):
    """Too many requests, nothing was done: send it again after `retry_after_seconds`."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class OutcomeUnknown(ProviderError):
    """It may or may not have happened: resolve first, never send blindly again."""

    def __init__(self, message: str, *, possible_orphans: bool = False) -> None:
        super().__init__(message)
        self.possible_orphans = possible_orphans


class NotClosed(ProviderError):
    """No proof that it is closed: try again, for ever."""


class CannotAsk(ProviderError):
    """The platform offers no such call."""


class Driver(Protocol):
    """One configured upstream platform."""

    name: str
    card: Card

    async def open(self, order: Order) -> Placed:
        """Open a session. Raises Refused, NotSent, Throttled or OutcomeUnknown."""

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        """Find out what became of an open whose answer was lost: adopt it, or with `close` end it.

        Raises OutcomeUnknown where it still cannot be told, and what `open` raises."""

    async def probe(self, target: Target) -> Probe:
        """The minimal ping. Never raises for what the platform does: every fault is a verdict."""

    async def status(self, target: Target) -> Status:
        """What the platform itself says; Life.UNKNOWN where it cannot be asked or did not answer."""

    async def close(self, target: Target) -> Closed:
        """End it. What is already gone is closed. Raises NotClosed where there is no proof."""

    async def list(self, secret: Secret | None) -> Sequence[Listed]:
        """Everything live under this credential. Raises CannotAsk, NotSent, OutcomeUnknown."""

    async def aclose(self) -> None:
        """Give back the connections."""
