"""What a platform can do, as its driver declares it, in three groups: lifecycle, identity, status."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class LifecycleCard:
    """How sessions are opened and closed there, and the bounds of one session."""

    managed: bool = True
    """False: always-on endpoints; the close is local and proves itself."""
    attaches: bool = False
    """Another party opens and ends it: an order brings the endpoint, and no call of ours closes it."""
    closes_by_id: bool = False
    repeats_open: bool = False
    """The identical open, sent again, adopts what the first one opened."""
    asks_who_died: bool = False
    """A close gets to know whether its session was judged dead."""
    ping_can_close: bool = False
    """The configured ping can close the session, so it runs under the credential's lease."""
    max_nodes: int | None = None
    shortest_duration_seconds: int = 0
    """The shortest session that the platform accepts."""
    minimum_billing_seconds: int = 0
    resolve_after_seconds: float | None = None
    """Longer than the policy's where an open's effect shows later here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityCard:
    """What a call names there: a credential, a wallet, a name of ours."""

    names_create: bool = False
    """A create carries our name, by which it can be found again."""
    needs_credential: bool = False
    """Nothing there can be asked without a key: a provider without credentials does not start."""
    ignores_credentials: bool = False
    """None of its calls sends a key: a provider with credentials does not start."""
    exclusive_credentials: bool = False
    """A credential carries at most one unclosed placement."""
    serialised: bool = False
    """Lifecycle calls of one credential run one at a time, under a lease on it."""
    frees_key: bool = False
    """What a key carries would be taken for a new session: an open frees its key first, and sends nothing before it
    has said so (`Order.freed`)."""
    wallet: str | None = None
    """The address of the one wallet for which all its credentials act: it sends one transaction at a time, so the
    provider takes one credential."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusCard:
    """What the platform says about its sessions."""

    can_list: bool = False
    can_ask: bool = False
    """`status` asks the platform, and what it says confirms a death."""
    by_name: bool = False
    """`status` needs no handle: our own name or id of a session is enough, even of one that was never opened."""
    sleeps: bool = False
    """What serves may be scaled to zero: `status` says so, and a ping would wake it and start the bill."""
    witness: str | None = None
    """Another provider with a `status` that knows the sessions here by handle: asked what this one does not say."""
    witness_driver: str | None = None
    """The driver that a witness must have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a platform can do. Flows decide by the card, never by the driver's name."""

    lifecycle: LifecycleCard = LifecycleCard()
    identity: IdentityCard = IdentityCard()
    status: StatusCard = StatusCard()


#: Of endpoints that are always on.
ALWAYS_ON = LifecycleCard(managed=False)
