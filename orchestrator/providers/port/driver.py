"""The port to upstream platforms: what a driver can be asked and what it answers.

`errors.py` has its failures, `card.py` what its platform can do, `abilities.py` the optional calls. Every call may be
repeated; "already done" is success. Drivers keep no state that a crash could lose."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from orchestrator.providers.port.card import Card
from orchestrator.rules.sessions.pings import Silence
from orchestrator.rules.upstream.local_faults import LocalFault
from orchestrator.rules.values import Attach, ModelType, Verdict


class Auth(StrEnum):
    """How an endpoint wants the secret."""

    BEARER = "bearer"
    X_API_KEY = "x-api-key"
    BOTH = "both"
    NONE = "none"
    BASIC = "basic"


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


#: Writes down that the key of an order is free. Raises NotSent if the order is another worker's by now.
Freed = Callable[[], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A session to be opened, with enough data to send the identical call again."""

    placement_id: str
    name: str
    """Unique at the platform, for those where a create can be named."""
    model: str  # as the platform calls it
    model_type: ModelType
    nodes: int
    duration_seconds: int
    options: Mapping[str, Any] = field(default_factory=dict)
    secret: Secret | None
    handle: str | None = None  # a candidate seen earlier, for `resolve`
    attach: Attach | None = None
    """The endpoint that another party opened; `secret` is then that endpoint's own."""
    sent_at: datetime | None = None
    """When the open was first sent, for `resolve`; None: not known."""
    known_handles: frozenset[str] = frozenset()
    """Handles at this provider that other placements have or had: `resolve` adopts none of them."""
    taken_handles: frozenset[str] = frozenset()
    """Those of placements that have not ended: what they name is neither adopted nor ended."""
    now: datetime | None = None
    """By the store's clock; None: this machine's."""
    send_by: float | None = None
    """On the loop's clock: the lease ends. Nothing addressed by the key alone is sent after it."""
    freed: Freed | None = field(default=None, repr=False, compare=False)
    """Awaited once its key is proven free, before the open is sent; None: no call is wanted."""
    rivals_sent_at: tuple[datetime, ...] = ()
    """When other opens for this model, bid or wallet with an unknown outcome were sent."""
    unwanted_rivals_sent_at: tuple[datetime, ...] = ()
    """The same of opens that are no longer wanted: what they opened is to be closed too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """The result of one ping."""

    verdict: Verdict
    latency_ms: int
    detail: str = ""
    """One line for people, without secrets, at most 300 characters."""
    retry_after_seconds: float | None = None
    whole_key: bool = False
    """It is THROTTLED, and the platform says that the key as a whole must wait."""
    variant: str | None = None
    tokens: int = 0
    cost_usd: str | None = None
    expired: bool = False
    """It is GONE, and the platform says itself that its time was over."""
    foreign_handle: str | None = None  # what the key has instead of ours
    key_refused: str | None = None  # why its key can take no other session, whatever became of this one
    silence: Silence | None = None
    """It was accepted and not answered in time, and this is what was seen elsewhere on the server then."""
    not_begun: bool = False
    """It was too late to begin, or to continue with the next variant: the verdict counts for nothing. With a
    `variant`, the next ping continues from it."""
    failed_here: LocalFault | None = None
    """What failed on this machine; `not_begun` then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """The session is open, according to the platform; the first good ping is the proof."""

    handle: str
    endpoint: Endpoint
    ends_at: datetime | None = None
    """The platform's own end, where it declares one."""
    lasts_seconds: int | None = None
    """Where it declares none: what was asked for."""
    note: str | None = None
    ended_handle: str | None = None
    """What its key had before, and was freed of: the caller knows whether that was ours."""
    probe: Probe | None = None
    """The ping by which the open looked."""
    misconfigured: str | None = None
    """What it shows to be wrong with the provider's configuration: an alarm is raised. None: nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotPlaced:
    """`resolve` found that nothing was opened, or ended what was. `proof` says how we know."""

    proof: str
    ended_handle: str | None = None
    """What it ended to make it so."""
    foreign: bool = False
    """That was not what the order had opened."""


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
    """For the whole probe, all its variants together."""
    send_by: float | None = None
    begin_by: float | None = None
    """On the loop's clock: no request of a probe begins after it; `send_by` is for a close, as in an order."""
    variant: str | None = None  # the form of the ping that worked last time
    name: str | None = None
    """As the order had it, for platforms that are asked by name; None: not known."""
    ends_at: datetime | None = None  # declared, where it is known
    judged_dead: bool = False  # its session has stopped as dead
    now: datetime | None = None
    """By the store's clock, the one that decides whether a declared end has passed; None: this machine's."""


class Life(StrEnum):
    """The platform's own status of a session."""

    STARTING = "starting"
    RUNNING = "running"
    ASLEEP = "asleep"
    DEGRADED = "degraded"
    STOPPED = "stopped"
    FAILED = "failed"
    GONE = "gone"
    UNKNOWN = "unknown"  # the platform cannot be asked

    @property
    def is_over(self) -> bool:
        """Whether the session no longer runs, and will not again."""
        return self in _OVER


_OVER = frozenset({Life.STOPPED, Life.FAILED, Life.GONE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    life: Life
    detail: str = ""
    ends_at: datetime | None = None
    expired: bool = False
    """It has ended, by its own schedule."""
    price_per_hour: Decimal | None = None
    """What the platform charges while it runs, where it says so, in its own currency."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Closed:
    """A session that is proven closed. `proof`: the platform's words; `nothing_was_open`: it had no session."""

    proof: str
    nothing_was_open: bool = False
    closed_handle: str | None = None
    foreign_handle: str | None = None  # the same, where it is not ours: another user shares the key
    probe: Probe | None = None
    """The ping by which the close looked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One live session in a platform's list."""

    handle: str
    name: str | None = None
    opened_at: datetime | None = None
    ends_at: datetime | None = None
    life: Life | None = None
    """Where the list says it; None: it lives, that is all."""
    price_per_hour: Decimal | None = None
    foreign: bool = False
    """Not opened by us: its presence counts, but it is never an orphan, to be adopted or closed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """The balance of the account behind one credential."""

    amount: Decimal
    currency: str


class Driver(Protocol):
    """One configured upstream platform."""

    name: str
    card: Card

    async def open(self, order: Order) -> Placed:
        """Open a session. Raises Refused, NotSent, Throttled or OutcomeUnknown."""

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        """Find out what a lost open did: adopt its session, or with `close` end it. Raises OutcomeUnknown if that is
        still not known, and what `open` raises."""

    async def probe(self, target: Target) -> Probe:
        """Send the minimal ping. Raise nothing for a fault of the platform: every fault is a verdict."""

    async def status(self, target: Target) -> Status:
        """Return the platform's own status; Life.UNKNOWN if it cannot be asked or did not answer."""

    async def close(self, target: Target) -> Closed:
        """End the session. One that is already gone counts as closed. Raises NotClosed without proof."""

    async def list(self, secret: Secret | None) -> Sequence[Listed]:
        """Return every live session under this credential. Raises CannotAsk, NotSent, OutcomeUnknown."""

    async def aclose(self) -> None:
        """Close the connections."""
